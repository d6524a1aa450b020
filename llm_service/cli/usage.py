"""`flask usage`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from llm_service.bootstrap.resources import open_usage_reports
from llm_service.core.dates import optional_moment
from llm_service.core.usage.sums import GroupBy
from llm_service.web.schemas.usage import usage_json

from .columns import aligned
from .context import current_settings
from .errors import cli_errors

_COLUMNS = {
    "requests": "requests", "hits": "hits", "joined": "joined", "failed": "failed", "input": "input_tokens",
    "cached": "cached_input_tokens", "output": "output_tokens", "reasoning": "reasoning_tokens",
    "saved in": "saved_input_tokens", "saved out": "saved_output_tokens", "no usage": "unknown_usage",
    "no price": "unknown_price", "cost $": "cost_usd", "saved $": "saved_usd", "p50 ms": "latency_p50_ms",
    "p95 ms": "latency_p95_ms",
}  # fmt: skip


@click.command("usage")
@click.option("--by", type=click.Choice([group.value for group in GroupBy]), default="day", help="What to group by.")
@click.option("--since", help="Start of the time range: a date or a time (RFC 3339), UTC.")
@click.option("--until", help="End of the time range, not included.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of GET /api/v1/usage.")
def usage(by: str, since: str | None, until: str | None, as_json: bool) -> None:
    """Show usage, cost and savings of all owners."""
    with cli_errors(), open_usage_reports(current_settings()) as reports:
        since_ms, until_ms = optional_moment("since", since), optional_moment("until", until)
        body = usage_json(reports.report(None, GroupBy(by), since_ms, until_ms))
    click.echo(json.dumps(body, indent=2) if as_json else "\n".join(_table(body)))


def _table(body: Mapping[str, Any]) -> Iterator[str]:
    total = body["total"]
    items = [(_name(item, total), *_cells(item)) for item in body["items"]]
    return aligned([(body["group_by"], *_COLUMNS), *items, ("total", *_cells(total))], str.rjust)


def _name(item: Mapping[str, Any], total: Mapping[str, Any]) -> str:
    return " ".join(str(value) for name, value in item.items() if name not in total)


def _cells(sums: Mapping[str, Any]) -> Sequence[str]:
    values = [sums[name] for name in _COLUMNS.values()]
    return ["-" if value is None else f"{value:,}" if isinstance(value, int) else value for value in values]
