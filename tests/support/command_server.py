"""Forks a process for each command that it is asked for; see `tests.support.command_line`.

    python -m tests.support.command_server

A line of JSON asks for a command: its arguments, folder, environment, and a folder with `stdin`, where `stdout` and
`stderr` are written. The answer is a line with its exit code.
"""

import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

# What the commands import. Nothing of it may start a thread or read the environment.
import flask.cli  # noqa: F401

import llm_service.app
import llm_service.bootstrap.build
import llm_service.cli.register  # noqa: F401


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(asked)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(asked: dict[str, Any]) -> None:
    """In the child: become the command, which ends as its process would."""
    signal.alarm(asked["timeout_s"])
    streams = Path(asked["streams"])
    for number, (name, flags) in enumerate(
        [("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT)]
    ):
        os.dup2(os.open(streams / name, flags, 0o600), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.argv, sys.stdin, sys.path[0] = asked["argv"], os.fdopen(0), ""
    runpy.run_module("flask", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
