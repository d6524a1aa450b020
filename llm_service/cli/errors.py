"""How a command reports errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from llm_service.bootstrap.errors import StartError
from llm_service.core.errors import ServiceError


@contextmanager
def cli_errors() -> Iterator[None]:
    """Print the service's own errors as lines, and exit with the code for their kind."""
    try:
        yield
    except StartError as error:
        click.echo("\n".join(error.lines), err=True)
        sys.exit(error.exit_code)
    except ServiceError as error:
        click.echo(f"{error.code}: {error.detail}", err=True)
        for fault in error.fields:
            click.echo(f"  {fault.field}: {fault.message}", err=True)
        sys.exit(1)
