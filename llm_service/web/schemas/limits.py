"""Limits."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.limits.status import LimitKind, LimitStatus

from .base import meta, money, rfc3339


class LimitSchema(ma.Schema):
    """The state of a limit. Amounts are decimal strings: generations, calls, tokens or US dollars."""

    class Meta:
        title = "Limit"

    limit = fields.String(
        required=True,
        validate=validate.OneOf([kind.value for kind in LimitKind]),
        metadata=meta("What is limited; `concurrent-calls` are simultaneous calls to a model.", "tokens-per-day"),
    )
    applies_to = fields.String(
        required=True,
        validate=validate.OneOf(["you", "everyone"]),
        metadata=meta("`you`: your key. `everyone`: all callers of the service together.", "you"),
    )
    most = fields.String(required=True, metadata=meta("The limit.", "100000"))
    used = fields.String(required=True, metadata=meta("Used in the current minute or day.", "48210"))
    reserved = fields.String(required=True, metadata=meta("The most that running calls can add.", "4180"))
    left = fields.String(required=True, metadata=meta("What is left.", "47610"))
    resets_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata=meta(
            "When part of the limit is available again (a day starts at 00:00 UTC); null = when a call ends."
        ),
    )


class LimitListSchema(ma.Schema):
    items = fields.List(fields.Nested(LimitSchema), required=True)


def limit_json(limit: LimitStatus) -> dict[str, Any]:
    return {
        "limit": limit.kind.value,
        "applies_to": "you" if limit.own else "everyone",
        "most": money(limit.most),
        "used": money(limit.used),
        "reserved": money(limit.reserved),
        "left": money(limit.left),
        "resets_at": None if limit.resets_ms is None else rfc3339(limit.resets_ms),
    }
