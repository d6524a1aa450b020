"""The `flask` commands: parse, call a service, print. Each builds only what it needs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.build import build_models, build_services, make_id
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.housekeeping import prune_before_ms
from llm_service.bootstrap.resources import (
    load_templates,
    migrate_database,
    open_history_queries,
    open_retention,
    open_usage_reports,
)
from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.start_checks import check_start
from llm_service.core.access.caller import LOCAL, LOCAL_OWNER
from llm_service.core.dates import optional_moment
from llm_service.core.errors import ServiceError
from llm_service.core.generation.model import GenerateRequest, Generation, Status
from llm_service.core.history.model import Filters
from llm_service.core.history.ports import HistoryQueries
from llm_service.core.templates.self_tests import failures
from llm_service.core.usage.sums import GroupBy
from llm_service.web.api.docs import EXTENSION as OPENAPI

templates = AppGroup("templates", help="The prompt files.")
db = AppGroup("db", help="The database.")
history = AppGroup("history", help="What was asked and answered.")
openapi = AppGroup("openapi", help="The API's document.")


def register_commands(app: Flask) -> None:
    app.cli.add_command(templates)
    app.cli.add_command(db)
    # In place of flask-smorest's own, which knows nothing of the templates' operations.
    app.cli.add_command(openapi)
    app.cli.add_command(history)
    app.cli.add_command(generate)
    app.cli.add_command(usage)


def check_start_or_exit(needs_key: str | None = None) -> None:
    """What gunicorn's master runs in a process of its own before it forks; exits with the code of what is wrong."""
    with cli_errors():
        check_start(Settings.load(os.environ), needs_key)


@contextmanager
def cli_errors() -> Iterator[None]:
    """Print the service's own errors as lines, and exit with a code that says what kind it was."""
    try:
        yield
    except StartError as error:
        click.echo("\n".join(error.lines), err=True)
        sys.exit(error.exit_code)
    except ServiceError as error:
        click.echo(f"{error.code}: {error.detail}", err=True)
        for one in error.fields:
            click.echo(f"  {one.field}: {one.message}", err=True)
        sys.exit(1)


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings


@click.command("generate")
@click.argument("template_id", metavar="TEMPLATE")
@click.option(
    "--input",
    "source",
    type=click.File(encoding="utf-8"),
    default="-",
    help="File with the main text; - or left out = standard input.",
)
@click.option(
    "-p",
    "--parameter",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter; VALUE is JSON if the template wants no string.",
)
@click.option("--model", help="A model of the service's list.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
def generate(template_id: str, source: Any, pairs: tuple[str, ...], model: str | None, as_json: bool) -> None:
    """Fill TEMPLATE with a text, ask the model, and print its answer.

    An incomplete answer is printed too, with exit code 3.
    """
    # Imported here: the JSON shape is the web's, and other commands need none of it.
    from llm_service.web.schemas.generation import generation_json

    with cli_errors():
        services = build_services(_settings())
        try:
            parameters = _parameters(pairs, services.templates.get(template_id))
            text = source.read().removesuffix("\n")
            asked = GenerateRequest(template_id, text, parameters, model)
            done = services.generate.run(asked, LOCAL, make_id()).generation
        finally:
            services.close()
    click.echo(json.dumps(generation_json(done), ensure_ascii=False, indent=2) if as_json else done.output or "")
    if done.status is Status.INCOMPLETE:
        click.echo(f"incomplete: {done.incomplete_reason}", err=True)
        sys.exit(3)


def _parameters(pairs: tuple[str, ...], template: Any) -> dict[str, Any]:
    kinds = {one.name: one.kind for one in template.parameters}
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="-p")
        parameters[name] = value if kinds.get(name, "string") == "string" else _json_value(name, value)
    return parameters


def _json_value(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise click.BadParameter(f"{name}: {value!r} is not a JSON value", param_hint="-p") from None


@templates.command("check")
def check_templates() -> None:
    """Read all prompt files and run their tests; exit code 1 and file:line for each fault."""
    with cli_errors():
        found = load_templates(_settings()).current
    click.echo(f"Templates: {len(found)} good. Their tests: {sum(len(one.tests) for one in found)} passed.")


@templates.command("list")
def list_templates() -> None:
    """Id, revision and name of each template."""
    with cli_errors():
        for template in load_templates(_settings(), run_tests=False).current:
            click.echo(f"{template.template_id:32} {template.revision}  {template.name}")


@templates.command("test")
@click.argument("template_id", metavar="[ID]", required=False)
def test_templates(template_id: str | None) -> None:
    """Run the tests that templates carry, all or those of ID; exit code 1 if one fails. No model is called."""
    with cli_errors():
        found = load_templates(_settings(), run_tests=False).current
        chosen = list(found) if template_id is None else [found.get(template_id)]
    ran = failed = 0
    for template in chosen:
        for test in template.tests:
            faults = failures(template, test)
            click.echo(f"{'FAIL' if faults else 'ok':4} {template.template_id}: {test.name}")
            for fault in faults:
                click.echo(f"     {template.template_id}.prompty:{test.line}: {fault}")
            ran, failed = ran + 1, failed + bool(faults)
    click.echo(f"Tests: {ran - failed} passed, {failed} failed.")
    if failed:
        sys.exit(1)


@openapi.command("print")
def print_openapi() -> None:
    """Print the OpenAPI document, with an operation for each template."""
    settings = _settings()
    with cli_errors():
        templates = load_templates(settings).current
    click.echo(current_app.extensions[OPENAPI].text(templates, build_models(settings)))


@db.command("upgrade")
def upgrade_db() -> None:
    """Bring the database to this program's schema."""
    with cli_errors():
        changed = migrate_database(_settings())
    click.echo("The database was migrated." if changed else "The database is up to date.")


@history.command("prune")
def prune_history() -> None:
    """Delete what is older than APP_HISTORY_DAYS, and take all that was ever deleted out of the file's bytes.

    The service may run meanwhile.
    """
    with cli_errors():
        days = _settings().history_days
        with open_retention(_settings()) as retention:
            deleted = retention.prune(prune_before_ms(days, SystemClock().now_ms()))
            retention.scrub()
    click.echo(f"{deleted:,} generations were deleted.")


@history.command("export")
@click.option("--format", type=click.Choice(["json", "jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="File; left out = standard output.",
)
@click.option("--owner", default=LOCAL_OWNER, show_default=True, help="Whose.")
@click.option("--q", help='Words, "phrases", begin*, -not.')
@click.option("--template-id", help="The whole id of a template.")
@click.option("--model", help="The model that was asked.")
@click.option("--status", help="The state.")
@click.option("--cached", help="true or false: whether the cache answered.")
@click.option("--since", help="The first moment, such as 2026-11-23 or 2026-11-23T20:15:00Z.")
@click.option("--until", help="The first moment that is not meant any more.")
def export_history(format: str, output: Any, owner: str, **filters: str | None) -> None:
    """Write the history, newest first, with a progress bar on standard error."""
    from llm_service.web.exports import chunked, export_pieces
    from llm_service.web.filters import read_filters

    with cli_errors():
        chosen = read_filters(filters)
        with open_history_queries(_settings()) as queries:
            rows = _with_progress(queries, owner, chosen) if queries else iter(())
            for chunk in chunked(export_pieces(rows, SystemClock(), format)):
                output.write(chunk)


def _with_progress(queries: HistoryQueries, owner: str, filters: Filters) -> Iterator[Generation]:
    """The rows; the bar goes through their time, because to count them would be to read them."""
    newest, oldest = queries.newest(owner, 1, filters=filters), queries.newest(owner, 1, after=0, filters=filters)
    if not newest or not oldest:
        return
    here_ms = newest[0][1].created_ms
    with click.progressbar(length=max(1, here_ms - oldest[0][1].created_ms), label="Exporting", file=sys.stderr) as bar:
        for generation in queries.export(owner, filters):
            yield generation
            bar.update(max(0, here_ms - generation.created_ms))
            here_ms = min(here_ms, generation.created_ms)


@click.command("usage")
@click.option("--by", type=click.Choice([one.value for one in GroupBy]), default="day", help="What the lines are.")
@click.option("--since", help="A date or a time (RFC 3339), UTC.")
@click.option("--until", help="Likewise; not included.")
@click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
def usage(by: str, since: str | None, until: str | None, as_json: bool) -> None:
    """What was used, what it cost and what was saved, by everybody, in sums."""
    from llm_service.web.schemas.usage import usage_json

    with cli_errors(), open_usage_reports(_settings()) as reports:
        since_ms, until_ms = optional_moment("since", since), optional_moment("until", until)
        body = usage_json(reports.report(None, GroupBy(by), since_ms, until_ms))
    click.echo(json.dumps(body, indent=2) if as_json else "\n".join(_usage_table(body)))


_USAGE_COLUMNS = {
    "requests": "requests", "hits": "hits", "joined": "joined", "failed": "failed", "input": "input_tokens",
    "cached": "cached_input_tokens", "output": "output_tokens", "reasoning": "reasoning_tokens",
    "saved in": "saved_input_tokens", "saved out": "saved_output_tokens", "no usage": "unknown_usage",
    "no price": "unknown_price", "cost $": "cost_usd", "saved $": "saved_usd", "p50 ms": "latency_p50_ms",
    "p95 ms": "latency_p95_ms",
}  # fmt: skip


def _usage_table(body: Mapping[str, Any]) -> Iterator[str]:
    """Lines with their total, in columns as wide as what stands in them."""
    rows = [
        [body["group_by"], *_USAGE_COLUMNS],
        *([_usage_name(item, body["total"]), *_usage_cells(item)] for item in body["items"]),
        ["total", *_usage_cells(body["total"])],
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *numbers])


def _usage_name(item: Mapping[str, Any], total: Mapping[str, Any]) -> str:
    return " ".join(str(value) for name, value in item.items() if name not in total)


def _usage_cells(sums: Mapping[str, Any]) -> Sequence[str]:
    values = [sums[name] for name in _USAGE_COLUMNS.values()]
    return ["-" if value is None else f"{value:,}" if isinstance(value, int) else value for value in values]
