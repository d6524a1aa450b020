"""What lists and exports are filtered by, as text in an address or on a command line."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from llm_service.core.errors import FieldError, InvalidInput
from llm_service.core.generation.model import Status
from llm_service.core.history.model import Filters
from llm_service.core.history.service import read_search
from llm_service.core.text import refuse_forbidden

FILTER_NAMES = ("q", "template_id", "model", "status", "cached", "since", "until")
MAX_NAME_CHARS = 200
_BOOLEANS = {"true": True, "false": False}
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT = re.compile(
    rf"{_DAY}(?:[Tt ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?)?(?:[Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?)?"
)

T = TypeVar("T")


def read_filters(values: Mapping[str, str | None]) -> Filters:
    """The filters of `FILTER_NAMES` among the values; an empty one is none.

    Raises `InvalidInput` or `InvalidCharacter`, naming the field.
    """
    given = {name: text.strip() for name in FILTER_NAMES if (text := values.get(name)) and text.strip()}
    return Filters(
        search=read_search("q", given.get("q")),
        template_id=_name("template_id", given),
        model=_name("model", given),
        status=_one_of("status", given, {status.value: status for status in Status}),
        cached=_one_of("cached", given, _BOOLEANS),
        since_ms=_moment_ms("since", given),
        until_ms=_moment_ms("until", given),
    )


def _name(field: str, given: Mapping[str, str]) -> str | None:
    if (text := given.get(field)) is None:
        return None
    refuse_forbidden(field, text)
    if len(text) > MAX_NAME_CHARS:
        raise InvalidInput.of([FieldError(field, f"must have at most {MAX_NAME_CHARS} characters")])
    return text


def _one_of(field: str, given: Mapping[str, str], values: Mapping[str, T]) -> T | None:
    if (text := given.get(field)) is None:
        return None
    if text not in values:
        raise InvalidInput.of([FieldError(field, f"must be one of: {', '.join(values)}")])
    return values[text]


def _moment_ms(field: str, given: Mapping[str, str]) -> int | None:
    """Unix time in milliseconds. A day alone is its first moment; without an offset the time is UTC."""
    if (text := given.get(field)) is None:
        return None
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text.upper())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        message = "must be a day or a time such as 2026-11-23 or 2026-11-23T20:15:00Z"
        raise InvalidInput.of([FieldError(field, message)]) from None
