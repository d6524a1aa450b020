"""A real Redis server of the Debian package for tests, ended whatever happens."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.support.processes import free_port, needed_program, stop

START_S = 20


class RedisServer:
    """Stopped until `start`; it keeps nothing on disk. `close` stops it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """`arguments`: more options of redis-server, such as `--maxmemory 5mb`."""
        self.folder, self.port = folder, free_port()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> "redis.Redis":
        """For the test itself; the caller closes it."""
        return self.client_of(self.url)

    @staticmethod
    def client_of(url: str) -> "redis.Redis":
        return redis.Redis.from_url(url, decode_responses=True)

    def start(self) -> "RedisServer":
        program = needed_program("redis-server")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._arguments], cwd=self.folder, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            try:
                with self.client() as client:
                    client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return self
        raise AssertionError("Redis does not start")

    def kill(self) -> None:
        """As after a crash: nothing is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None:
            self.thaw()
            stop(self._process)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """Closed even if its start fails."""
    server = RedisServer(folder)
    try:
        yield server.start()
    finally:
        server.close()
