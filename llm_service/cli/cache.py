"""`flask cache`."""

import click
import structlog
from flask.cli import AppGroup

from llm_service.bootstrap.resources import invalidate_caches
from llm_service.bootstrap.wake_ups import open_sender
from llm_service.core.wake_ups import Topic

from .context import current_settings
from .errors import cli_errors

security_log = structlog.get_logger("llm_service.security")
cache = AppGroup("cache", help="The cached answers.")


@cache.command("clear")
def clear_cache() -> None:
    """Delete all cached answers in every process of the service, within a second. The history is not changed."""
    settings = current_settings()
    with cli_errors(), open_sender(settings) as wake_ups:
        invalidate_caches(settings)
        wake_ups.send(Topic.CACHE)
    security_log.info("cache cleared", key_id=None, owner="command line")
    click.echo("Cleared the cache.")
