"""Usage in sums."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from llm_service.core.clock import HOUR_MS
from llm_service.core.usage.reports import UsageReport
from llm_service.core.usage.sums import COUNTS, GroupBy, UsageLine, UsageSums

from .base import MOMENT, OwnerSchema, meta, money, rfc3339

USAGE_KEYS = {
    GroupBy.HOUR: ("hour",),
    GroupBy.DAY: ("day",),
    GroupBy.TEMPLATE: ("template_id",),
    GroupBy.REVISION: ("template_id", "template_revision"),
    GroupBy.MODEL: ("model",),
    GroupBy.OWNER: ("owner",),
}


class UsageQuerySchema(OwnerSchema):
    group_by = fields.String(
        load_default="day",
        validate=validate.OneOf(["day", "template", "revision", "model", "owner"]),
        metadata=meta("What the items are."),
    )
    since = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "A date or a time (RFC 3339, UTC for a date); goes back to the full hour.", "2026-11-01", anyOf=MOMENT
        ),
    )
    until = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "A date or a time, not included; goes on to the next full hour.", "2026-12-01T00:00:00Z", anyOf=MOMENT
        ),
    )


class UsageSumsSchema(ma.Schema):
    """Sums over requests."""

    requests = fields.Integer(required=True, metadata=meta("All of them, cache hits too; running ones not yet.", 120))
    hits = fields.Integer(required=True, metadata=meta("Answered by the cache.", 30))
    joined = fields.Integer(required=True, metadata=meta("Shared the call of another request.", 2))
    completed = fields.Integer(required=True, metadata=meta("Whole answers, cache hits among them.", 117))
    incomplete = fields.Integer(required=True, metadata=meta("Answers that the model cut or refused.", 1))
    failed = fields.Integer(required=True, metadata=meta("Ended with an error.", 1))
    cancelled = fields.Integer(required=True, metadata=meta("Stopped, or left by their callers.", 1))
    interrupted = fields.Integer(required=True, metadata=meta("Cut off when the service stopped.", 0))
    input_tokens = fields.Integer(
        required=True, metadata=meta("Billed input tokens, provider-cached ones included.", 40200)
    )
    cached_input_tokens = fields.Integer(
        required=True, metadata=meta("Part of `input_tokens` that the provider had cached.", 8000)
    )
    output_tokens = fields.Integer(required=True, metadata=meta("Billed output tokens, reasoning included.", 10050))
    reasoning_tokens = fields.Integer(required=True, metadata=meta("Part of `output_tokens` spent on reasoning.", 2000))
    saved_input_tokens = fields.Integer(
        required=True, metadata=meta("Input tokens that a cache hit or a shared call did not need.", 14300)
    )
    saved_output_tokens = fields.Integer(required=True, metadata=meta("Output tokens likewise.", 3800))
    unknown_usage = fields.Integer(
        required=True, metadata=meta("Requests whose tokens, and so their money, are not known or not whole.", 1)
    )
    unknown_price = fields.Integer(
        required=True, metadata=meta("Requests whose tokens are known, and whose model has no price.", 0)
    )
    cost_usd = fields.String(required=True, metadata=meta("What the known ones cost, in US dollars.", "0.01206"))
    saved_usd = fields.String(required=True, metadata=meta("What the known ones saved, in US dollars.", "0.004425"))
    latency_p50_ms = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta(
            "Half of the answers that a model gave (cache hits left out) came within this time, to about a tenth; null = "
            "there were none.",
            912,
        ),
    )
    latency_p95_ms = fields.Integer(required=True, allow_none=True, metadata=meta("Nineteen of twenty likewise.", 4100))


class UsageItemSchema(UsageSumsSchema):
    """Sums with what they are about: `day`, `template_id`, `template_id` and `template_revision`, `model` or `owner`."""

    day = fields.Date(metadata=meta("A day in UTC; days without requests are left out.", "2026-11-24"))
    template_id = fields.String(metadata=meta("A template, of `template` and `revision`.", "basic_chat_v1"))
    template_revision = fields.String(metadata=meta("Its content's hash, of `revision`.", "dfa412d7757c"))
    model = fields.String(metadata=meta("The model that was asked.", "gpt-4o-mini"))
    owner = fields.String(metadata=meta("Whose requests they were.", "local"))


class UsageSchema(ma.Schema):
    group_by = fields.String(required=True, metadata=meta("As asked for.", "day"))
    since = fields.DateTime(
        required=True, allow_none=True, metadata=meta("The full hour that was taken; null = the first there is.")
    )
    until = fields.DateTime(required=True, allow_none=True, metadata=meta("Likewise, not included; null = now."))
    time_zone = fields.String(required=True, validate=validate.OneOf(["UTC"]), metadata=meta("Always `UTC`."))
    items = fields.List(
        fields.Nested(UsageItemSchema), required=True, metadata=meta("Days in order; of others the most used first.")
    )
    total = fields.Nested(UsageSumsSchema, required=True)


def usage_json(report: UsageReport) -> dict[str, Any]:
    """The 200 body of a usage call."""
    return {
        "group_by": report.group_by.value,
        "since": None if report.since_hour is None else _full_hour(report.since_hour),
        "until": None if report.until_hour is None else _full_hour(report.until_hour),
        "time_zone": "UTC",
        "items": [{**usage_key(report.group_by, line), **_sums_json(line.sums)} for line in report.lines],
        "total": _sums_json(report.total),
    }


def usage_key(group_by: GroupBy, line: UsageLine) -> dict[str, Any]:
    """What a line is about, by name: `{"day": "2026-11-24"}`."""
    key = dict(zip(USAGE_KEYS[group_by], line.key, strict=True))
    if group_by is GroupBy.DAY:
        key["day"] = _full_hour(int(key["day"]) * 24)[:10]
    elif group_by is GroupBy.HOUR:
        key["hour"] = _full_hour(int(key["hour"]))
    return key


def _sums_json(sums: UsageSums) -> dict[str, Any]:
    return {
        **{name: getattr(sums, name) for name in COUNTS},
        "cost_usd": money(sums.cost_usd),
        "saved_usd": money(sums.saved_usd),
        "latency_p50_ms": sums.latency_ms(0.5),
        "latency_p95_ms": sums.latency_ms(0.95),
    }


def _full_hour(hours_since_1970: int) -> str:
    """`2026-11-23T20:00:00Z`."""
    return rfc3339(hours_since_1970 * HOUR_MS).replace(".000Z", "Z")
