"""Dates and times as people and programs write them."""

import re
from datetime import UTC, datetime, timedelta

from .errors import FieldError, InvalidInput

_EPOCH = datetime.fromtimestamp(0, UTC)
# What can be written as a date again: the years 1 to 9999, UTC.
FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_MOMENT = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}(?:[Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?)?")


def parse_moment(field: str, text: str) -> int:
    """Unix time in milliseconds of a date (its first moment) or a time (RFC 3339; seconds and offset may be left out).

    Without an offset it is UTC. An offset that leads out of the years 1 to 9999 gives the first or last moment of them.

    Raises `InvalidInput`, naming `field`.
    """
    text = text.strip()
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        message = "must be a date or a time, such as 2026-11-23 or 2026-11-23T20:15:00Z"
        raise InvalidInput.of([FieldError(field, message)]) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(round((moment - _EPOCH) / timedelta(milliseconds=1)), FIRST_MS), LAST_MS)


def optional_moment(field: str, text: str | None) -> int | None:
    """As `parse_moment`; None where there is no text, or only white space."""
    return parse_moment(field, text) if text and text.strip() else None
