"""Another process that locks the database, as a backup or an operator's shell does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print('held', flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path, *statements: str) -> Iterator[None]:
    """It holds the lock for writing, or what the statements lock."""
    command = [sys.executable, "-c", _PROGRAM, str(path), *(statements or ("BEGIN IMMEDIATE",))]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.communicate()


class LockWaits:
    """How long SQLite was allowed to wait for a lock, of all attempts to write together."""

    def __init__(self, driver: Any) -> None:
        """`driver`: the `sqlite3` connection that writes. `close` it when the attempts are over."""
        self._driver = driver
        self._timeout_ms = 0
        self.waited_s = 0.0
        driver.set_trace_callback(self._seen)

    def _seen(self, statement: str) -> None:
        name, _, value = statement.partition("=")
        if name == "PRAGMA busy_timeout":
            self._timeout_ms = int(value)
        elif statement.startswith("BEGIN"):
            self.waited_s += self._timeout_ms / 1000

    def close(self) -> None:
        self._driver.set_trace_callback(None)
