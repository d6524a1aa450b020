"""What all schemas share: strict fields, their documentation, and the format of times and money."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.generation.model import Status

UUID_EXAMPLE = "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"
# A date or a time, as `core.dates` parses them.
MOMENT = [{"format": "date"}, {"format": "date-time"}]
STATUSES = [status.value for status in Status]
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


def meta(description: str, example: Any = None, **more: Any) -> dict[str, Any]:
    """The documentation of a field."""
    return {"description": description, **({} if example is None else {"examples": [example]}), **more}


class StrictString(fields.String):
    """A string, and nothing that is converted to a string."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        return value


class StrictBoolean(fields.Boolean):
    """true or false, not "yes" or 1."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class QueryInteger(fields.Integer):
    """Plain digits: Python's `int` also accepts ` 1`, `+1`, `1_0` and the digits of other scripts."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return int(value)


class OwnerSchema(ma.Schema):
    owner = fields.String(
        load_default=None,
        validate=validate.Length(1, 64),
        metadata=meta("The owner; omitted = yourself. Another owner requires the scope `admin`.", "ci"),
    )


def rfc3339(milliseconds: int) -> str:
    """`2026-11-23T20:15:00.123Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Decimal | None) -> str | None:
    """A decimal without an exponent; None = unknown."""
    return None if amount is None else f"{amount:f}"
