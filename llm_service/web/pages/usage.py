"""The usage page: requests, tokens, cost and savings as numbers and charts, with the change since the period before."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal

from flask import Blueprint, Response, render_template, request

from llm_service.core.errors import InvalidInput
from llm_service.core.usage.sums import GroupBy, UsageLine, UsageSums, total_of

from ..context import caller, owner, services
from ..http.query import query_args
from .charts import Chart, Series, line_chart, stacked_bars
from .labels import RANGE_LABELS
from .numbers import compact, milliseconds, percent, usd
from .periods import DEFAULT, Period, period_of, read_period

pages = Blueprint("usage_page", __name__, url_prefix="/usage")


@pages.route("")
@query_args("range", "since", "until")
def index() -> Response:
    """`?range=` is the name of one of the ranges; `?since=&until=` are days, both included."""
    now_ms, error = services().clock.now_ms(), None
    try:
        period = read_period(request.args, now_ms)
    except InvalidInput as refused:
        period, error = period_of(DEFAULT, now_ms), refused
    by_step: dict[int, list[UsageSums]] = defaultdict(list)
    for line in _lines(period, period.group_by):
        by_step[period.step_of(int(line.key[0]))].append(line.sums)
    sums = [total_of(by_step[step]) if step in by_step else None for step in range(period.steps)]
    providers = _lines(period, GroupBy.PROVIDER)
    page = render_template(
        "usage/index.html",
        ranges=RANGE_LABELS,
        period=period,
        error=error,
        total=total_of(step for step in sums if step),
        before=total_of(line.sums for line in _lines(period.before, GroupBy.OWNER)),
        charts=charts_of([period.label(step) for step in range(period.steps)], sums),
        breakdowns=[
            ("Template", _costliest_first(_lines(period, GroupBy.TEMPLATE))),
            ("Model", _costliest_first(_lines(period, GroupBy.MODEL))),
            # With a single provider, it would repeat the totals.
            *([("Provider", _costliest_first(providers))] if len(providers) > 1 else []),
        ],
        limits=services().limiter.statuses(caller()),
    )
    return Response(page, 422 if error else 200)


def _lines(period: Period, group_by: GroupBy) -> Sequence[UsageLine]:
    return services().usage.between(owner(), group_by, period.since_hour, period.until_hour).lines


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
        counted("saved", "saved", saved_tokens),
    ]
    hit_rate = [measured("cache", "saved", hit_rate_of)]
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


def saved_tokens(sums: UsageSums) -> int:
    return sums.saved_input_tokens + sums.saved_output_tokens


def hit_rate_of(sums: UsageSums) -> float | None:
    return sums.hits / sums.requests if sums.requests else None


def errors_of(sums: UsageSums) -> int:
    """People stop generations themselves, so that is none."""
    return sums.failed + sums.interrupted


def error_rate_of(sums: UsageSums) -> float | None:
    return errors_of(sums) / sums.requests if sums.requests else None


def usd_per_request(sums: UsageSums) -> str:
    """Cached ones count too. A dash if a cost is unknown."""
    known = sums.requests and not sums.unknown_price and not sums.unknown_usage
    return usd(sums.cost_usd / sums.requests) if known else "–"


def money_of(sums: UsageSums, name: str) -> str:
    """`cost_usd` or `saved_usd`; a dash if no price is known, because 0 would be wrong."""
    amount: Decimal = getattr(sums, name)
    return "–" if not amount and (sums.unknown_price or sums.unknown_usage) else usd(amount)


def _costliest_first(found: Sequence[UsageLine]) -> list[UsageLine]:
    return sorted(found, key=lambda line: (-line.sums.cost_usd, -line.sums.requests, line.key))
