"""One reader in front of every JSON body.

Python's `json` takes more than JSON (NaN, the last of two equal keys, a recursion error for deep nesting, halves of
surrogate pairs). What is read here is what every other reader would read.
"""

import json
import re
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from llm_service.core.text import refuse_forbidden

from .errors import DuplicateKey, InvalidJson, TooDeep, TooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 32
# A string that does not close ends with the body, and nothing is tried twice: else each of its quotes would be a beginning.
_BRACKETS_AND_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def read_json(request: Request) -> Any:
    """The body as Python values.

    Raises `UnsupportedMediaType`, `TooLarge`, `InvalidJson`, `DuplicateKey`, `TooDeep`, and `InvalidCharacter`.
    """
    if request.environ.get("CONTENT_TYPE") != "application/json" and (
        request.mimetype != "application/json" or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8"
    ):
        raise UnsupportedMediaType("Send Content-Type: application/json, in UTF-8.")
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("Compressed bodies are not read.")
    values = parse_json(_read_body(request))
    refuse_unkeepable(values)
    return values


def _read_body(request: Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise TooLarge("A body may have at most 1 MiB.")
    try:
        # A chunked body has no length: read no more of it than one byte over the limit.
        body = request.stream.read(MAX_BODY_BYTES + 1)
    except RequestEntityTooLarge:
        raise TooLarge("A body may have at most 1 MiB.") from None
    except Exception as error:
        # Each server has errors of its own for a body that stops, or whose chunks are no chunks.
        raise InvalidJson("The body did not come to its end.") from error
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge("A body may have at most 1 MiB.")
    return body


def parse_json(body: bytes) -> Any:
    """Raises `InvalidJson`, `DuplicateKey` or `TooDeep`."""
    _refuse_deep(body)
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise TooDeep(f"The body is nested more than {MAX_DEPTH} levels deep.") from None
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except ValueError as error:
        raise InvalidJson("The body holds a number that cannot be read.") from error


def refuse_unkeepable(values: Any, path: str = "") -> None:
    """Raise `InvalidCharacter` for NUL or half of a surrogate pair in any key or string."""
    if isinstance(values, str):
        refuse_forbidden(path or "body", values)
    elif isinstance(values, dict):
        for key, value in values.items():
            refuse_forbidden(path or "body", key)
            refuse_unkeepable(value, f"{path}.{key}" if path else key)
    elif isinstance(values, list):
        for value in values:
            refuse_unkeepable(value, path)


def _refuse_deep(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS_AND_STRINGS.finditer(body):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise TooDeep(f"The body is nested more than {MAX_DEPTH} levels deep.")
        elif mark in (b"]", b"}"):
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DuplicateKey(f"The key {twice[:64]!r} stands in an object more than once.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON.")
