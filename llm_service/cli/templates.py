"""`flask templates`."""

import sys

import click
from flask.cli import AppGroup

from llm_service.bootstrap.resources import load_templates
from llm_service.core.templates.self_tests import failures

from .context import current_settings
from .errors import cli_errors

templates = AppGroup("templates", help="The prompt files.")


@templates.command("check")
def check_templates() -> None:
    """Read all prompt files and run their tests. Prints file:line of each fault and exits with code 1."""
    with cli_errors():
        found = load_templates(current_settings()).current
    click.echo(f"Templates: {len(found)} valid. Tests: {sum(len(template.tests) for template in found)} passed.")


@templates.command("list")
def list_templates() -> None:
    """Print the id, revision and name of each template."""
    with cli_errors():
        for template in load_templates(current_settings(), run_tests=False).current:
            click.echo(f"{template.template_id:32} {template.revision}  {template.name}")


@templates.command("test")
@click.argument("template_id", metavar="[ID]", required=False)
def test_templates(template_id: str | None) -> None:
    """Run the tests in the prompt files, of all templates or of ID. No model is called. Exits with code 1 if one fails."""
    with cli_errors():
        found = load_templates(current_settings(), run_tests=False).current
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
