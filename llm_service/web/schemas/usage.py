"""Usage totals."""

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
    GroupBy.PROVIDER: ("provider",),
    GroupBy.OWNER: ("owner",),
}


class UsageQuerySchema(OwnerSchema):
    group_by = fields.String(
        load_default="day",
        validate=validate.OneOf(["day", "template", "revision", "model", "provider", "owner"]),
        metadata=meta("What to group the totals by."),
    )
    since = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "Start, inclusive: a date (its start in UTC) or a time (RFC 3339; UTC if it has no offset). Rounded down to the full hour.",
            "2026-11-01",
            anyOf=MOMENT,
        ),
    )
    until = fields.String(
        load_default=None,
        validate=validate.Length(min=1),
        metadata=meta(
            "End, exclusive: a date or a time. Rounded down to the full hour, as `since`: neighbouring periods count nothing twice.",
            "2026-12-01T00:00:00Z",
            anyOf=MOMENT,
        ),
    )


class UsageSumsSchema(ma.Schema):
    """Totals over requests."""

    requests = fields.Integer(required=True, metadata=meta("All finished requests, including cache hits.", 120))
    hits = fields.Integer(required=True, metadata=meta("Answered from the cache.", 30))
    joined = fields.Integer(required=True, metadata=meta("Shared another request's call.", 2))
    completed = fields.Integer(required=True, metadata=meta("Complete answers, including cache hits.", 117))
    incomplete = fields.Integer(required=True, metadata=meta("Answers that the model cut off or refused.", 1))
    failed = fields.Integer(required=True, metadata=meta("Ended with an error.", 1))
    cancelled = fields.Integer(required=True, metadata=meta("Stopped, or the caller disconnected.", 1))
    interrupted = fields.Integer(required=True, metadata=meta("Interrupted because the service stopped.", 0))
    input_tokens = fields.Integer(
        required=True, metadata=meta("Billed input tokens, including those that the provider had cached.", 40200)
    )
    cached_input_tokens = fields.Integer(
        required=True, metadata=meta("Part of `input_tokens` that the provider had cached.", 8000)
    )
    output_tokens = fields.Integer(required=True, metadata=meta("Billed output tokens, including reasoning.", 10050))
    reasoning_tokens = fields.Integer(required=True, metadata=meta("Part of `output_tokens` spent on reasoning.", 2000))
    saved_input_tokens = fields.Integer(
        required=True, metadata=meta("Input tokens saved by cache hits and shared calls.", 14300)
    )
    saved_output_tokens = fields.Integer(
        required=True, metadata=meta("Output tokens saved by cache hits and shared calls.", 3800)
    )
    unknown_usage = fields.Integer(
        required=True, metadata=meta("Requests whose token counts, and so their cost, are unknown or incomplete.", 1)
    )
    unknown_price = fields.Integer(
        required=True, metadata=meta("Requests whose token counts are known, but whose model has no price.", 0)
    )
    cost_usd = fields.String(required=True, metadata=meta("Known cost in US dollars.", "0.01206"))
    saved_usd = fields.String(required=True, metadata=meta("Known savings in US dollars.", "0.004425"))
    latency_p50_ms = fields.Integer(
        required=True,
        allow_none=True,
        metadata=meta(
            "Median time in milliseconds of the answers that a model gave (without cache hits), accurate to about 10 %; "
            "null = no such answers.",
            912,
        ),
    )
    latency_p95_ms = fields.Integer(
        required=True, allow_none=True, metadata=meta("95th percentile of the same times.", 4100)
    )


class UsageItemSchema(UsageSumsSchema):
    """Totals of a group: a `day`, `template_id`, `template_id` and `template_revision`, `model`, `provider` or `owner`.

    The requests are counted at the model that answered. What other models cost before it is in their own totals.
    """

    day = fields.Date(metadata=meta("A day in UTC; days without requests are omitted.", "2026-11-24"))
    template_id = fields.String(metadata=meta("The template; with `template` and `revision`.", "basic_chat_v1"))
    template_revision = fields.String(metadata=meta("The template's content hash; with `revision`.", "dfa412d7757c"))
    model = fields.String(metadata=meta("The model used.", "gpt-4o-mini"))
    provider = fields.String(metadata=meta("The provider of the model.", "openai"))
    owner = fields.String(metadata=meta("The owner of the requests.", "local"))


class UsageSchema(ma.Schema):
    group_by = fields.String(required=True, metadata=meta("As requested.", "day"))
    since = fields.DateTime(
        required=True, allow_none=True, metadata=meta("The full hour used; null = from the beginning.")
    )
    until = fields.DateTime(
        required=True, allow_none=True, metadata=meta("The full hour used, exclusive; null = until now.")
    )
    time_zone = fields.String(required=True, validate=validate.OneOf(["UTC"]), metadata=meta("Always `UTC`."))
    items = fields.List(
        fields.Nested(UsageItemSchema),
        required=True,
        metadata=meta("Days in order; other groups by number of requests, highest first."),
    )
    total = fields.Nested(UsageSumsSchema, required=True)


def usage_json(report: UsageReport) -> dict[str, Any]:
    """The body of a usage response."""
    return {
        "group_by": report.group_by.value,
        "since": None if report.since_hour is None else _full_hour(report.since_hour),
        "until": None if report.until_hour is None else _full_hour(report.until_hour),
        "time_zone": "UTC",
        "items": [{**usage_key(report.group_by, line), **_sums_json(line.sums)} for line in report.lines],
        "total": _sums_json(report.total),
    }


def usage_key(group_by: GroupBy, line: UsageLine) -> dict[str, Any]:
    """The group of a line: `{"day": "2026-11-24"}`."""
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
