"""The commands of the service, each in a process of its own.

Importing what a command needs takes a second, most of its time. So one process per test run imports it once and forks
for each command (`tests.support.command_server`): all else is as in a shell. `run_cold` starts from nothing.
"""

import atexit
import json
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

from tests.support.constants import ROOT
from tests.support.processes import environment

TIMEOUT_S = 120


def flask(folder: Path, *arguments: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """`flask ARGUMENTS`, run in `folder` with nothing of the machine's own settings."""
    return _server().run(["flask", *arguments], folder, _environment(folder, **environ), text)


def run_cold(folder: Path, *arguments: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """As `flask`, in a process that a shell would start."""
    command = [sys.executable, "-m", "flask", *arguments]
    env = _environment(folder, **environ)
    return subprocess.run(command, cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=TIMEOUT_S)


def _environment(folder: Path, **environ: str) -> dict[str, str]:
    return {**environment(folder, **environ), "FLASK_APP": str(ROOT / "wsgi.py")}


@cache
def _server() -> "CommandServer":
    return CommandServer()


class CommandServer:
    """Ended with the test run. One command at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.command_server"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        atexit.register(self.close)

    def run(self, argv: list[str], folder: Path, env: dict[str, str], text: str) -> subprocess.CompletedProcess[str]:
        with self._lock, tempfile.TemporaryDirectory() as streams:
            (Path(streams) / "stdin").write_text(text)
            asked = {"argv": argv, "folder": str(folder), "env": env, "streams": streams, "timeout_s": TIMEOUT_S}
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            stdout, stderr = ((Path(streams) / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(argv, code, stdout, stderr)

    def close(self) -> None:
        self._process.communicate()
