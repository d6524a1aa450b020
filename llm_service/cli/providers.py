"""`flask providers`."""

import sys
from collections.abc import Iterator, Sequence

import click
from flask.cli import AppGroup

from llm_service.adapters.providers.configured.check import check_provider
from llm_service.adapters.providers.configured.config import ProviderConfig
from llm_service.adapters.providers.configured.model_names import model_names
from llm_service.adapters.providers.names import system_addresses
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.providers import read_configs
from llm_service.bootstrap.resources import load_templates
from llm_service.core.templates.model import Template, TemplateSet

from .columns import aligned
from .context import current_settings
from .errors import cli_errors

providers = AppGroup("providers", help="The model providers.")


@providers.command("check")
def check_providers() -> None:
    """Read the providers file, and ask each provider for its models. Calls no model. Exits with code 1 if anything is wrong."""
    settings = current_settings()
    with cli_errors():
        configs = read_configs(settings)
        templates = load_templates(settings, run_tests=False).current
    checks = [check_provider(config, SystemClock(), system_addresses) for config in configs]
    rows = [(check.name, check.kind, "ok" if check.fits else "FAIL", check.summary) for check in checks]
    for line, check in zip(aligned(rows), checks, strict=True):
        click.echo(line)
        for detail in check.details:
            click.echo(f"  {detail}")
    lost = list(_lost_models(templates, configs)) if settings.providers_file is not None else []
    for template, model in lost:
        click.echo(f"FAIL {template.template_id}.prompty: no provider has its model {model}")
    if lost or not all(check.fits for check in checks):
        sys.exit(1)


def _lost_models(templates: TemplateSet, configs: Sequence[ProviderConfig]) -> Iterator[tuple[Template, str]]:
    """The models of templates that no provider has. A template may name several (`a>b`)."""
    names = model_names(configs)
    for template in templates:
        for model in template.model.split(">") if template.model else ():
            if names.find(model.strip()) is None:
                yield template, model.strip()
