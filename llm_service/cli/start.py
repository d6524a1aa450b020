"""The checks before the server starts, for gunicorn's master and `flask run`."""

from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.start_checks import check_start
from llm_service.cli.errors import cli_errors


def check_start_or_exit(settings: Settings, needs_key: str | None = None) -> None:
    """`check_start`; prints what is wrong and exits with its code."""
    with cli_errors():
        check_start(settings, needs_key)
