"""What gunicorn and the `flask` command load."""

import os
import sys

import click
import structlog

from llm_service.adapters.observability.logs import configure_logging
from llm_service.app import create_app
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings, SettingsError, is_loopback, needs_key_at
from llm_service.cli.commands import check_start_or_exit

try:
    settings = Settings.load(os.environ)
except SettingsError as error:
    sys.stderr.write("\n".join([*error.faults, ""]))
    sys.exit(EXIT_CONFIG)
if not structlog.is_configured():  # gunicorn's master has done it for its workers
    configure_logging(settings.log_level, settings.secrets())
command = click.get_current_context(silent=True)
if command is not None and command.info_name == "run":
    # `flask run` listens where its own options say; gunicorn's master checks for its workers.
    host = command.params["host"]
    check_start_or_exit(None if is_loopback(host) else needs_key_at(f"--host {host}"))
app = create_app(settings)
