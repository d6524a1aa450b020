"""How long a worker answers nobody, in CPU time.

A slow or busy machine delays every answer. So a gap between two answers counts as the CPU time that the worker used in it,
compared with the CPU time of a loop that is measured on the same machine at the same time.
"""

import http.client
import json
import os
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.support.processes import Server

# What `loop_s` takes on a quiet machine on which the limits hold as seconds.
REFERENCE_LOOP_S = 0.009
PERIOD_S = 0.05
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CACHED = {"template_id": "basic_chat_v1", "input": "A cached answer"}
JSON = {"Content-Type": "application/json"}


def loop_s() -> float:
    """The CPU time of a fixed piece of Python."""
    began = time.process_time()
    total = 0
    for number in range(400_000):
        total += number % 7
    assert total
    return time.process_time() - began


def slowness() -> float:
    """How much more CPU time this machine needs now than the one of the limits; at least 1."""
    return max(1.0, min(loop_s() for _ in range(3)) / REFERENCE_LOOP_S)


def cpu_s(pid: int) -> float:
    """The CPU time of a process, of all its threads: those that hold Python's lock stop the others."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


class Client:
    """One connection, opened again when the server closes it."""

    def __init__(self, server: Server) -> None:
        self._host, _, port = server.base_url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """The reply, read to its end. Raises `OSError` or `HTTPException` if the connection ends before."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        try:
            self._connection.request(method, path, body, headers or {})
            with self._connection.getresponse() as response:
                return Reply(response.status, response.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def post_json(self, path: str, body: Any) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return self.send("POST", path, data, JSON)

    def send_lines(self, method: str, path: str, name: str, value: str, lines: int) -> Reply:
        """The reply to a request with the same header many times."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        try:
            connection.putrequest(method, path)
            for _ in range(lines):
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as response:
                return Reply(response.status, response.read())
        finally:
            connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Probe(threading.Thread):
    """Asks for the health and for a cached answer twenty times a second, until `stop`."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._clients = Client(server), Client(server)
        self._server = server
        self._stopping = threading.Event()
        self._answered = threading.Condition()
        # When an answer came, and the worker's CPU time then.
        self._answers: list[tuple[float, float]] = []
        self.errors: list[str] = []

    def run(self) -> None:
        health, cached = self._clients
        while not self._stopping.wait(PERIOD_S):
            try:
                for reply in (health.send("GET", "/api/v1/health"), cached.post_json("/api/v1/generate", CACHED)):
                    self._note(reply)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))

    def _note(self, reply: Reply) -> None:
        if reply.status != 200:
            self.errors.append(f"{reply.status} {reply.body[:200]!r}")
        with self._answered:
            self._answers.append((time.monotonic(), self._cpu_s()))
            self._answered.notify_all()

    def _cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self._server.workers())

    def wait_for_answers(self, count: int = 2) -> None:
        """Return after that many further answers: the worker is idle, or at least answers."""
        with self._answered:
            wanted = len(self._answers) + count
            assert self._answered.wait_for(lambda: len(self._answers) >= wanted, 120), self.errors

    def worst_gap_s(self, since: float) -> float:
        """The most CPU time between two answers, of which the later came after `since` (`time.monotonic`)."""
        with self._answered:
            answers = list(self._answers)
        return max(later[1] - earlier[1] for earlier, later in pairwise(answers) if later[0] >= since)

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        for client in self._clients:
            client.close()
