"""`flask openapi`."""

import click
from flask import current_app
from flask.cli import AppGroup

from llm_service.bootstrap.providers import allowed_models
from llm_service.bootstrap.resources import load_templates
from llm_service.web.api.docs import OPENAPI_EXTENSION

from .context import current_settings
from .errors import cli_errors

openapi = AppGroup("openapi", help="The OpenAPI document.")


@openapi.command("print")
def print_openapi() -> None:
    """Print the OpenAPI document, with an operation for each template."""
    settings = current_settings()
    with cli_errors():
        templates = load_templates(settings).current
    click.echo(current_app.extensions[OPENAPI_EXTENSION].text(templates, allowed_models(settings)))
