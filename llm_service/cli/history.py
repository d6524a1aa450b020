"""`flask history`."""

import sys
from collections.abc import Iterator
from typing import TextIO

import click
from flask.cli import AppGroup

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.housekeeping import prune_before_ms
from llm_service.bootstrap.resources import open_history_queries, open_retention
from llm_service.core.access.caller import LOCAL_OWNER
from llm_service.core.generation.model import Generation
from llm_service.core.history.model import Filters
from llm_service.core.history.ports import HistoryQueries
from llm_service.web.exports import chunked, export_pieces
from llm_service.web.filters import read_filters

from .context import current_settings
from .errors import cli_errors

history = AppGroup("history", help="The stored generations.")


@history.command("prune")
def prune_history() -> None:
    """Delete generations older than APP_HISTORY_DAYS, and erase all deleted data from the database file.

    The service may be running.
    """
    settings = current_settings()
    with cli_errors(), open_retention(settings) as retention:
        deleted = retention.prune(prune_before_ms(settings.history_days, SystemClock().now_ms()))
        retention.scrub()
    click.echo(f"Deleted {deleted:,} generations.")


@history.command("export")
@click.option("--format", type=click.Choice(["json", "jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="File to write. Default: standard output.",
)
@click.option("--owner", default=LOCAL_OWNER, show_default=True, help="The owner of the generations.")
@click.option("--q", help='Search: words, "phrases", prefix*, -excluded.')
@click.option("--template-id", help="The full id of a template.")
@click.option("--model", help="The requested model.")
@click.option("--status", help="The status.")
@click.option("--cached", help="true or false: whether the answer came from the cache.")
@click.option("--since", help="Start of the time range, such as 2026-11-23 or 2026-11-23T20:15:00Z.")
@click.option("--until", help="End of the time range, not included.")
def export_history(format: str, output: TextIO, owner: str, **filters: str | None) -> None:
    """Write the history, newest first. Progress is shown on standard error."""
    with cli_errors():
        chosen = read_filters(filters)
        with open_history_queries(current_settings()) as queries:
            rows = _with_progress(queries, owner, chosen) if queries else iter(())
            for chunk in chunked(export_pieces(rows, SystemClock(), format)):
                output.write(chunk)


def _with_progress(queries: HistoryQueries, owner: str, filters: Filters) -> Iterator[Generation]:
    """The rows. The progress bar follows their time, because counting them would mean reading them all."""
    newest, oldest = queries.newest(owner, 1, filters=filters), queries.newest(owner, 1, after=0, filters=filters)
    if not newest or not oldest:
        return
    here_ms = newest[0][1].created_ms
    with click.progressbar(length=max(1, here_ms - oldest[0][1].created_ms), label="Exporting", file=sys.stderr) as bar:
        for generation in queries.export(owner, filters):
            yield generation
            bar.update(max(0, here_ms - generation.created_ms))
            here_ms = min(here_ms, generation.created_ms)
