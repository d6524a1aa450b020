"""Generations as JSON values, for the API, the export and the pages alike."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llm_service.core.clock import HOUR_MS
from llm_service.core.generation.model import Generation, GenerationSummary, Status
from llm_service.core.generation.preview import Preview
from llm_service.core.templates.outputs import load_strict_json
from llm_service.core.usage.reports import UsageReport
from llm_service.core.usage.sums import COUNTS, GroupBy, UsageLine, UsageSums

USAGE_KEYS = {
    GroupBy.HOUR: ("hour",),
    GroupBy.DAY: ("day",),
    GroupBy.TEMPLATE: ("template_id",),
    GroupBy.REVISION: ("template_id", "template_revision"),
    GroupBy.MODEL: ("model",),
    GroupBy.OWNER: ("owner",),
}

TEXTS = ("input", "parameters", "system_prompt", "user_prompt", "output")


def rfc3339(milliseconds: int) -> str:
    """`2026-11-23T20:15:00.123Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Decimal | None) -> str | None:
    """A decimal in plain digits; None = unknown."""
    return None if amount is None else f"{amount:f}"


def answer_json(generation: Generation) -> dict[str, Any]:
    """The 200 body of a generate call."""
    usage = generation.usage
    return {
        "request_id": generation.request_id,
        "template_id": generation.template_id,
        "template_revision": generation.template_revision,
        "model": generation.model,
        "status": generation.status.value,
        "incomplete_reason": generation.incomplete_reason,
        "cached": generation.cached,
        "output": generation.output,
        **({"output_json": output_json(generation)} if generation.structured else {}),
        "system_prompt": generation.prompts.system,
        "user_prompt": generation.prompts.user,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": money(generation.cost_usd),
        "saved_usd": money(generation.saved_usd),
        "latency_ms": generation.latency_ms,
        "created_at": rfc3339(generation.created_ms),
    }


def output_json(generation: Generation) -> Any:
    """The output as a value; None where the template declares no outputs, or the answer is not whole.

    A complete answer was checked before it was stored.
    """
    whole = generation.structured and generation.status is Status.COMPLETED and generation.output is not None
    return load_strict_json(generation.output or "") if whole else None


def preview_json(preview: Preview) -> dict[str, Any]:
    prepared = preview.prepared
    return {
        "template_id": prepared.template.template_id,
        "revision": prepared.template.revision,
        "model": prepared.call.model,
        "system_prompt": prepared.call.prompts.system,
        "user_prompt": prepared.call.prompts.user,
        "cache_key": prepared.cache_key,
        "cache_key_parts": dict(preview.key_parts),
        "would_hit": preview.would_hit,
        "estimated_input_tokens": preview.estimated_input_tokens,
        "max_output_tokens": preview.max_output_tokens,
        "max_cost_usd": money(preview.max_cost_usd),
        "price_version": preview.price_version,
    }


def whole_json(generation: Generation) -> dict[str, Any]:
    """An entry of the history, whole: the answer and what was asked; its texts null where none are kept."""
    entry = {
        **answer_json(generation),
        "input": generation.input,
        "parameters": dict(generation.parameters),
        "provider": generation.provider,
        "error": generation.error,
        "attempts": generation.attempts,
        "billed": {
            "input_tokens": generation.billed.input_tokens,
            "cached_input_tokens": generation.billed.cached_input_tokens,
            "output_tokens": generation.billed.output_tokens,
            "reasoning_tokens": generation.billed.reasoning_tokens,
        },
        "price_version": generation.price_version,
        "cache_key": generation.cache_key,
        "finished_at": None if generation.finished_ms is None else rfc3339(generation.finished_ms),
    }
    return entry if generation.has_texts else {**entry, **dict.fromkeys(TEXTS)}


def summary_json(summary: GenerationSummary) -> dict[str, Any]:
    """An entry of a history page."""
    usage = summary.usage
    return {
        "request_id": summary.request_id,
        "template_id": summary.template_id,
        "template_revision": summary.template_revision,
        "model": summary.model,
        "status": summary.status.value,
        "cached": summary.cached,
        "snippet": summary.snippet,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": money(summary.cost_usd),
        "saved_usd": money(summary.saved_usd),
        "latency_ms": summary.latency_ms,
        "created_at": rfc3339(summary.created_ms),
        "error": summary.error,
        "match": summary.match,
    }


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
