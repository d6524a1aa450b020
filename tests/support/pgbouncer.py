"""A real pgbouncer in front of a PostgreSQL server, giving each transaction any of a few connections."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.support.postgres import PostgresServer
from tests.support.processes import free_port, needed_program

START_S = 30
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=llm
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
# The databases of tests that are over must not keep connections.
server_idle_timeout = 1
"""


class PgBouncer:
    """In transaction mode. `close` ends it."""

    def __init__(self, server: PostgresServer) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        self._folder.chmod(0o711)
        file = self._folder / "pgbouncer.ini"
        file.write_text(_CONFIGURATION.format(server=server.port, own=self.port))
        program = needed_program("pgbouncer", "/usr/sbin/pgbouncer")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, **server.user)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                psycopg.connect(self.through(server.url()), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("pgbouncer does not start: " + (self._folder / "log").read_text())

    def through(self, url: str) -> str:
        """The URL of a server's database, as its clients see it."""
        return f"postgresql://llm@127.0.0.1:{self.port}/{url.rsplit('/', 1)[1]}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(START_S)
        shutil.rmtree(self._folder)
