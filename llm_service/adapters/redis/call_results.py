"""The end of a shared call as JSON, for those who share it in other processes. It comes back exactly."""

from dataclasses import dataclass
from typing import Any

import msgspec

from llm_service.core.generation.model import CallResult

# A process that does not know a version makes the call itself.
VERSION = 1


class ResultUnknown(Exception):
    """What was stored is not the end of a call, or of another version."""


@dataclass(frozen=True, slots=True)
class WholeResult:
    """`text`: all that was written of the call, also if it failed. An answer may be only a part of it."""

    result: CallResult
    text: str


@dataclass(frozen=True, slots=True)
class _Stored:
    """`text` None: it is the answer's."""

    version: int
    result: CallResult
    text: str | None = None


@dataclass(frozen=True, slots=True)
class _Versioned:
    version: int


_decode = msgspec.json.Decoder(_Stored).decode
_decode_version = msgspec.json.Decoder(_Versioned).decode


def dump_result(whole: WholeResult) -> bytes:
    done = whole.result.done
    text = None if done is not None and done.text == whole.text else whole.text
    return msgspec.json.encode(_Stored(VERSION, whole.result, text))


def load_result(stored: Any) -> WholeResult:
    """Raises `ResultUnknown`, whatever it gets."""
    if not isinstance(stored, bytes):
        raise ResultUnknown("there is no result")
    try:
        if _decode_version(stored).version != VERSION:
            raise ResultUnknown("the result has another version")
        found = _decode(stored)
        if found.result.failure is not None:
            found.result.failure.error()  # of a kind that is known here
    except (msgspec.DecodeError, ArithmeticError, StopIteration) as error:
        raise ResultUnknown("the result cannot be read") from error
    done, text = found.result.done, found.text
    if (done is None) == (found.result.failure is None) or (done is None and text is None):
        raise ResultUnknown("the result has no end")
    return WholeResult(found.result, done.text if text is None and done is not None else text or "")
