"""What gunicorn and the `flask` command load."""

import os
import sys

import structlog

from llm_service.adapters.telemetry import configure_logging
from llm_service.app import create_app
from llm_service.settings import EXIT_CONFIG, Settings, SettingsError

try:
    settings = Settings.load(os.environ)
except SettingsError as error:
    sys.stderr.write("\n".join([*error.faults, ""]))
    sys.exit(EXIT_CONFIG)
if not structlog.is_configured():  # gunicorn's master has done it for its workers
    configure_logging(settings.log_level, settings.secrets())
app = create_app(settings)
