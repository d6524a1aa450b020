"""`flask cache`."""

import click
import structlog
from flask.cli import AppGroup

from llm_service.bootstrap.resources import invalidate_caches

from .context import current_settings
from .errors import cli_errors

security_log = structlog.get_logger("llm_service.security")
cache = AppGroup("cache", help="The cached answers.")


@cache.command("clear")
def clear_cache() -> None:
    """Delete all cached answers in every process of the service, within a second. The history is not changed."""
    with cli_errors():
        invalidate_caches(current_settings())
    security_log.info("cache cleared", key_id=None, owner="command line")
    click.echo("Cleared the cache.")
