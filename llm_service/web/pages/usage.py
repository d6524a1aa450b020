"""The usage page: requests, tokens, cost and savings as charts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from flask import Blueprint, render_template, request

from llm_service.core.clock import HOUR_MS
from llm_service.core.errors import FieldError, InvalidInput
from llm_service.core.usage.sums import GroupBy, UsageLine, UsageSums, total_of

from ..context import caller, owner, services
from ..http.query import query_args
from .charts import Chart, Series, line_chart, stacked_bars
from .numbers import compact, milliseconds, percent, usd

pages = Blueprint("usage_page", __name__, url_prefix="/usage")


@dataclass(frozen=True, slots=True)
class Range:
    """A time range that ends now, in steps of `step_h` hours."""

    name: str
    label: str
    group_by: GroupBy
    steps: int

    @property
    def step_h(self) -> int:
        return 1 if self.group_by is GroupBy.HOUR else 24


RANGES = (
    Range("24h", "24 hours", GroupBy.HOUR, 24),
    Range("7d", "7 days", GroupBy.DAY, 7),
    Range("30d", "30 days", GroupBy.DAY, 30),
    Range("90d", "90 days", GroupBy.DAY, 90),
)
DEFAULT = RANGES[2]


@pages.route("")
@query_args("range")
def index() -> str:
    """`?range=` is the name of one of the ranges."""
    chosen = _range(request.args.get("range", DEFAULT.name))
    now_step = services().clock.now_ms() // (HOUR_MS * chosen.step_h)
    steps = range(now_step - chosen.steps + 1, now_step + 1)
    since_hour, until_hour = steps.start * chosen.step_h, steps.stop * chosen.step_h

    def sums_by(group_by: GroupBy) -> Sequence[UsageLine]:
        return services().usage.between(owner(), group_by, since_hour, until_hour).lines

    providers = sums_by(GroupBy.PROVIDER)
    by_time = {int(line.key[0]): line.sums for line in sums_by(chosen.group_by)}
    return render_template(
        "usage/index.html",
        ranges=RANGES,
        chosen=chosen,
        total=total_of(by_time.values()),
        charts=charts_of([_time(chosen, step) for step in steps], [by_time.get(step) for step in steps]),
        breakdowns=[
            ("Template", _costliest_first(sums_by(GroupBy.TEMPLATE))),
            ("Model", _costliest_first(sums_by(GroupBy.MODEL))),
            # With a single provider, it would repeat the totals.
            *([("Provider", _costliest_first(providers))] if len(providers) > 1 else []),
        ],
        limits=services().limiter.statuses(caller()),
    )


def charts_of(times: Sequence[str], sums: Sequence[UsageSums | None]) -> list[Chart]:
    """The charts over time; None = no requests in that step."""

    def counted(label: str, tone: str, count: Callable[[UsageSums], float]) -> Series:
        return Series(label, tone, [count(step) if step else 0 for step in sums])

    def measured(label: str, tone: str, measure: Callable[[UsageSums], float | None]) -> Series:
        return Series(label, tone, [measure(step) if step else None for step in sums])

    money = [
        counted("cost", "main", lambda step: float(step.cost_usd)),
        counted("saved", "saved", lambda step: float(step.saved_usd)),
    ]
    requests = [
        counted("model", "main", lambda step: step.requests - step.hits - step.joined),
        counted("cache", "saved", lambda step: step.hits),
        counted("shared call", "other", lambda step: step.joined),
    ]
    tokens = [
        counted("input", "main", lambda step: step.input_tokens),
        counted("output", "second", lambda step: step.output_tokens),
        counted("saved", "saved", lambda step: step.saved_input_tokens + step.saved_output_tokens),
    ]
    hit_rate = [measured("cache", "saved", lambda step: step.hits / step.requests)]
    latency = [
        measured("p50", "main", lambda step: step.latency_ms(0.5)),
        measured("p95", "second", lambda step: step.latency_ms(0.95)),
    ]
    errors = [
        counted("failed", "bad", lambda step: step.failed),
        counted("interrupted", "other", lambda step: step.interrupted),
        counted("incomplete", "second", lambda step: step.incomplete),
        counted("stopped", "quiet", lambda step: step.cancelled),
    ]
    return [
        stacked_bars("Cost and savings", times, money, usd),
        stacked_bars("Requests", times, requests, compact, whole=True),
        stacked_bars("Tokens", times, tokens, compact, whole=True),
        line_chart("Cache hit rate", times, hit_rate, percent, top=1.0),
        line_chart("Latency", times, latency, milliseconds),
        stacked_bars("Errors", times, errors, compact, whole=True),
    ]


def money_of(sums: UsageSums, name: str) -> str:
    """`cost_usd` or `saved_usd`; a dash if no price is known, because 0 would be wrong."""
    amount: Decimal = getattr(sums, name)
    return "–" if not amount and (sums.unknown_price or sums.unknown_usage) else usd(amount)


def _costliest_first(found: Sequence[UsageLine]) -> list[UsageLine]:
    return sorted(found, key=lambda line: (-line.sums.cost_usd, -line.sums.requests, line.key))


def _range(name: str) -> Range:
    """Raises `InvalidInput`."""
    for known in RANGES:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in RANGES)
    raise InvalidInput.of([FieldError("range", f"must be one of: {names}")])


def _time(chosen: Range, step: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(hours=step * chosen.step_h)
    return f"{moment:%H:%M}" if chosen.group_by is GroupBy.HOUR else f"{moment:%b} {moment.day}"
