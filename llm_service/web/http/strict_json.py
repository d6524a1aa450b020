"""The strict parser of every JSON body.

Python's `json` is lenient: it accepts NaN, duplicate keys and lone surrogates, and raises `RecursionError` on deep nesting.
This parser accepts only what every JSON parser reads the same way.
"""

import json
import re
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from llm_service.core.text import is_storable, refuse_forbidden

from .errors import DuplicateKey, InvalidJson, TooDeep, TooLarge, UnsupportedCoding, UnsupportedMediaType

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 32
# Parsing and validation take the event loop's time for each value, and a mebibyte has room for half a million.
MAX_VALUES = 10_000
# Each part of a path in an error message is cut: a key may be as long as the body.
MAX_KEY_CHARS = 64
# Possessive quantifiers: an unclosed string ends at the body's end, and no quote in it is tried as another start.
_STRINGS_AND_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)


def read_body(request: Request) -> bytes:
    """The body of a request that says that it is JSON.

    Raises `UnsupportedMediaType`, `TooLarge`, and `InvalidJson` if the body is cut off.
    """
    if request.environ.get("CONTENT_TYPE") != "application/json" and (
        request.mimetype != "application/json" or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8"
    ):
        raise UnsupportedMediaType("Send Content-Type: application/json in UTF-8.")
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedCoding("Compressed bodies are not supported.")
    return _received(request)


def _received(request: Request) -> bytes:
    length = request.content_length
    if (length or 0) > MAX_BODY_BYTES:
        raise TooLarge("A request body may have at most 1 MiB.")
    try:
        # Memory for as much as is asked for is allocated. A chunked body has no length: read at most one byte over the limit.
        body = request.stream.read(MAX_BODY_BYTES + 1 if length is None else length)
    except RequestEntityTooLarge:
        raise TooLarge("A request body may have at most 1 MiB.") from None
    except Exception as error:
        # Each server raises its own errors for a body that is cut off or has invalid chunks.
        raise InvalidJson("The request body is incomplete.") from error
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge("A request body may have at most 1 MiB.")
    return body


def parse_json(body: bytes) -> Any:
    """The body as Python values.

    Raises `InvalidJson`, `DuplicateKey`, `TooDeep` or `TooLarge`.
    """
    _refuse_deep_and_wide(body)
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise TooDeep(f"The JSON is nested more than {MAX_DEPTH} levels deep.") from None
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except ValueError as error:
        raise InvalidJson("The body contains a number that is too long.") from error


def reject_unstorable(values: Any, *path: str) -> None:
    """Raise `InvalidCharacter` for NUL or a lone surrogate in any key or string. `path`: the keys that lead to `values`."""
    if isinstance(values, str):
        if not is_storable(values):
            refuse_forbidden(_joined(path), values)
    elif isinstance(values, dict):
        for key, value in values.items():
            if not is_storable(key):
                refuse_forbidden(_joined(path), key)
            reject_unstorable(value, *path, key)
    elif isinstance(values, list):
        for value in values:
            reject_unstorable(value, *path)


def _joined(path: tuple[str, ...]) -> str:
    """Only for an error: joining the keys for each value would copy a long key once per value below it."""
    return ".".join(key[:MAX_KEY_CHARS] for key in path) or "body"


def _refuse_deep_and_wide(body: bytes) -> None:
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_DEPTH and body.count(b",") < MAX_VALUES - MAX_DEPTH:
        return
    depth = values = 0
    for tokens, token in enumerate(_STRINGS_AND_MARKS.finditer(body)):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth, values = depth + 1, values + 1
            if depth > MAX_DEPTH:
                raise TooDeep(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        elif mark in (b"]", b"}"):
            depth -= 1
        elif mark == b",":
            values += 1
        # A value has at most two strings, two brackets and a comma. More is no JSON, and not read to its end.
        if values > MAX_VALUES or tokens > 5 * MAX_VALUES:
            raise TooLarge(f"The JSON has more than {MAX_VALUES:,} values.")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DuplicateKey(f"An object contains the key {twice[:64]!r} more than once.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON.")
