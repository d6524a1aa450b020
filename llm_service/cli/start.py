"""The checks before the server starts, as a process: `python -m llm_service.cli.start [REASON]`.

gunicorn's master runs it before it forks, because it must not import what its workers patch.
"""

import os
import sys

from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.start_checks import check_start
from llm_service.cli.errors import cli_errors


def check_start_or_exit(settings: Settings, needs_key: str | None = None) -> None:
    """`check_start`; prints what is wrong and exits with its code."""
    with cli_errors():
        check_start(settings, needs_key)


if __name__ == "__main__":
    check_start_or_exit(Settings.load_or_exit(os.environ), *sys.argv[1:])
