"""What gunicorn and the `flask` command load."""

import os
import sys

import click
import structlog

from llm_service.adapters.observability.logs import configure_logging
from llm_service.app import create_app
from llm_service.bootstrap.settings import Settings, is_loopback, needs_key_at
from llm_service.cli.start import check_start_or_exit

settings = Settings.load_or_exit(os.environ)
command = click.get_current_context(silent=True)
if not structlog.is_configured():  # done by gunicorn's master for its workers
    # A command tells people in words what it did. Where no terminal is, its log lines are wanted.
    tells_people = command is not None and command.info_name != "run" and sys.stderr.isatty()
    level = "WARNING" if tells_people and settings.log_level == "INFO" else settings.log_level
    configure_logging(level, settings.secrets())
if command is not None and command.info_name == "run":
    # `flask run` listens on the address of its own options. Under gunicorn the master checks.
    host = command.params["host"]
    check_start_or_exit(settings, None if is_loopback(host) else needs_key_at(f"--host {host}"))
app = create_app(settings)
