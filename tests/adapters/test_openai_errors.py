"""The map of the SDK's errors is total, and Retry-After is read in all of its forms."""

import json
import time
from collections.abc import Iterator
from email.utils import formatdate

import httpx2
import openai
import pytest

from llm_service.adapters.providers.openai_api.errors import from_exception, parse_retry_after
from llm_service.core.errors import ServiceError, UpstreamInvalidResponse

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/responses")
NOW = 1_700_000_000.0


def sdk_errors(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for child in root.__subclasses__():
        yield from sdk_errors(child)


def made(kind: type[Exception]) -> Exception:
    """An instance without its constructor: each class wants other arguments."""
    error = kind.__new__(kind)
    Exception.__init__(error, "secret words")
    if isinstance(error, openai.APIStatusError):
        error.status_code = getattr(kind, "status_code", 500)
        error.response = httpx2.Response(error.status_code, request=REQUEST)
        error.body = None
    return error


@pytest.mark.parametrize("kind", sorted(set(sdk_errors(openai.OpenAIError)), key=str))
def test_each_error_of_the_sdk_is_one_of_ours(kind: type[Exception]) -> None:
    mapped = from_exception(made(kind))
    assert isinstance(mapped, ServiceError)
    assert mapped.code != ServiceError.code
    assert "secret" not in mapped.detail


@pytest.mark.parametrize(
    "error", [json.JSONDecodeError("x", "{", 0), TypeError("x"), KeyError("x"), AttributeError("x")]
)
def test_what_the_sdk_raises_for_broken_answers(error: Exception) -> None:
    assert isinstance(from_exception(error), UpstreamInvalidResponse)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 100000 23:59:59 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "x"}, None),
        ({"retry-after": str(10**9)}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOW) == seconds


def test_retry_after_of_now() -> None:
    seconds = parse_retry_after({"retry-after": formatdate(time.time() + 5, usegmt=True)}, time.time())
    assert seconds is not None
    assert 3 <= seconds <= 5
