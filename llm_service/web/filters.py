"""The filters of lists and exports, as text in a URL or on a command line."""

from collections.abc import Mapping
from typing import TypeVar

from llm_service.core.dates import optional_moment
from llm_service.core.errors import FieldError, InvalidInput
from llm_service.core.generation.model import Status
from llm_service.core.history.model import Filters
from llm_service.core.history.service import read_search
from llm_service.core.text import refuse_forbidden

FILTER_NAMES = ("q", "template_id", "model", "status", "cached", "since", "until", "starred", "tag")
MAX_NAME_CHARS = 200
_BOOLEANS = {"true": True, "false": False}

T = TypeVar("T")


def read_filters(values: Mapping[str, str | None]) -> Filters:
    """The filters among the values; empty values are ignored.

    Raises `InvalidInput` or `InvalidCharacter`, naming the field.
    """
    given = {name: text.strip() for name in FILTER_NAMES if (text := values.get(name)) and text.strip()}
    return Filters(
        search=read_search("q", given.get("q")),
        template_id=_name("template_id", given),
        model=_name("model", given),
        status=_one_of("status", given, {status.value: status for status in Status}),
        cached=_one_of("cached", given, _BOOLEANS),
        since_ms=optional_moment("since", given.get("since")),
        until_ms=optional_moment("until", given.get("until")),
        starred=_one_of("starred", given, _BOOLEANS),
        tag=_name("tag", given),
    )


def _name(field: str, given: Mapping[str, str]) -> str | None:
    if (text := given.get(field)) is None:
        return None
    refuse_forbidden(field, text)
    if len(text) > MAX_NAME_CHARS:
        raise InvalidInput.of([FieldError(field, f"must be at most {MAX_NAME_CHARS} characters")])
    return text


def _one_of(field: str, given: Mapping[str, str], values: Mapping[str, T]) -> T | None:
    if (text := given.get(field)) is None:
        return None
    if text not in values:
        raise InvalidInput.of([FieldError(field, f"must be one of: {', '.join(values)}")])
    return values[text]
