"""A real PostgreSQL server of the Debian package for tests, in a folder of theirs, ended whatever happens."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.support.processes import free_port, needed_program

_LIBRARIES = Path("/usr/lib/postgresql")
_names = count(1)
START_S = 30


class PostgresServer:
    """Stopped until `start`. `close` stops it."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """`folder`: for its data; not used by root. `settings`: more lines of postgresql.conf, such as `max_connections = 10`."""
        self.folder, self.port = folder / "postgres", free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = _programs()
        self._own_folder: Path | None = None
        if os.getuid() == 0:
            # It refuses to run as root, and pytest keeps others out of its folders, whenever any pytest starts.
            self._own_folder = Path(tempfile.mkdtemp(prefix="postgres-"))
            self._own_folder.chmod(0o711)
            self.folder = self._own_folder / "postgres"
        self.folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        initdb = [str(self._programs / "initdb"), "-D", str(self.folder), "-U", "llm", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C.UTF-8", "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self.user)
        lines = (
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            f"port = {self.port}",
            "fsync = off",  # the machine does not crash; a test that needs it sets it to on
            "log_statement = none",
            *settings,
        )
        with (self.folder / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(lines) + "\n")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://llm@127.0.0.1:{self.port}/{database}"

    def start(self) -> "PostgresServer":
        with (self.folder / "server.log").open("ab") as log:
            command = [str(self._programs / "postgres"), "-D", str(self.folder)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self.user)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("PostgreSQL does not start: " + (self.folder / "server.log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown. SIGQUIT: an immediate one, as after a crash; it recovers at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder)

    def new_database(self, template: str | None = None) -> str:
        """The URL of a new database, empty or a copy of `template`, which must have no connections."""
        name = f"test_{next(_names)}"
        # Without this strategy the copy is written to the log, which takes longer.
        copied = f"TEMPLATE {template} STRATEGY file_copy" if template else ""
        self.run(f"CREATE DATABASE {name} {copied}")
        return self.url(name)

    def run(self, statement: str, database: str = "postgres") -> Sequence[tuple[object, ...]]:
        """One statement outside a transaction; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else ()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def user(self) -> dict[str, Any]:
        """As whom programs run that refuse to run as root: arguments of `Popen`."""
        return {"user": "postgres", "group": "postgres", "cwd": "/"} if os.getuid() == 0 else {"cwd": "/"}


def _programs() -> Path:
    """The folder of the newest installed version's programs."""
    versions = sorted(_LIBRARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        needed_program("initdb")
    if os.getuid() == 0:
        pwd.getpwnam("postgres")
    return versions[-1].parent
