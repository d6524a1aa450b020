"""Limits: what may be used, and what is left."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.limits.status import LimitKind, LimitStatus

from .base import meta, money, rfc3339


class LimitSchema(ma.Schema):
    """How a limit stands. Amounts are decimals in strings: generations, calls, tokens or US dollars."""

    class Meta:
        title = "Limit"

    limit = fields.String(
        required=True,
        validate=validate.OneOf([kind.value for kind in LimitKind]),
        metadata=meta("What is limited; `concurrent-calls` are calls to a model under way at once.", "tokens-per-day"),
    )
    applies_to = fields.String(
        required=True,
        validate=validate.OneOf(["you", "everyone"]),
        metadata=meta("`you`: your key. `everyone`: all callers of the service together.", "you"),
    )
    most = fields.String(required=True, metadata=meta("The limit.", "100000"))
    used = fields.String(required=True, metadata=meta("Used within the minute or the day.", "48210"))
    reserved = fields.String(required=True, metadata=meta("The most that calls under way can come to.", "4180"))
    left = fields.String(required=True, metadata=meta("What is free.", "47610"))
    resets_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata=meta("When some of it is free again: a day begins at 00:00 UTC. null = when a call ends."),
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
