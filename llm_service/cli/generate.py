"""`flask generate`."""

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from llm_service.bootstrap.build import build_services, make_id
from llm_service.core.access.caller import LOCAL
from llm_service.core.generation.model import GenerateRequest, Status
from llm_service.core.templates.model import Template
from llm_service.web.schemas.generation import generation_json

from .context import current_settings
from .errors import cli_errors

EXIT_INCOMPLETE = 3


@click.command("generate")
@click.argument("template_id", metavar="TEMPLATE")
@click.option(
    "--input",
    "source",
    type=click.File(encoding="utf-8"),
    default="-",
    help="File with the input text. Default: standard input.",
)
@click.option(
    "-p",
    "--parameter",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter. VALUE is JSON unless the parameter is a string.",
)
@click.option("--model", help="One of the models of APP_MODELS.")
@click.option("--temperature", type=float, help="If the template allows it: 0 to 2.")
@click.option("--max-output-tokens", type=int, help="If the template allows it: the maximum length of the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
def generate(
    template_id: str, source: TextIO, pairs: tuple[str, ...], model: str | None, as_json: bool, **options: float | None
) -> None:
    """Render TEMPLATE with the input, call the model, and print its answer.

    If the answer is incomplete, it is printed and the exit code is 3.
    """
    with cli_errors():
        services = build_services(current_settings())
        try:
            parameters = _parameters(pairs, services.templates.get(template_id))
            text = source.read().removesuffix("\n")
            given = {name: value for name, value in options.items() if value is not None}
            request = GenerateRequest(template_id, text, parameters, model, options=given)
            generation = services.generation.run(request, LOCAL, make_id()).generation
        finally:
            services.close()
    answer = (
        json.dumps(generation_json(generation), ensure_ascii=False, indent=2) if as_json else generation.output or ""
    )
    click.echo(answer)
    for warning in generation.warnings:
        click.echo(f"{warning.code}: {warning.message}", err=True)
    if generation.status is Status.INCOMPLETE:
        click.echo(f"incomplete: {generation.incomplete_reason}", err=True)
        sys.exit(EXIT_INCOMPLETE)


def _parameters(pairs: Sequence[str], template: Template) -> dict[str, Any]:
    kinds = {prop.name: prop.kind for prop in template.parameters}
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
        raise click.BadParameter(f"{name}: {value!r} is not valid JSON", param_hint="-p") from None
