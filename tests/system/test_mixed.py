"""Whatever callers do, each gets its own answer: many at once, some of whom hang up, each with a word of its own.

Seeded (`MIXED_SEED`); `make fuzz` sends ten thousand.
"""

import http.client
import json
import os
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import Server, serving
from tests.support.upstream import Upstream

REQUESTS = int(os.environ.get("MIXED_REQUESTS", "500"))
SEED = int(os.environ.get("MIXED_SEED", "7"))
CALLERS = 16
MODELS = ["normal", "normal", "echo-2000", "slow-0.01", "slow-0.05"]


@pytest.fixture(name="server")
def _server(tmp_path: Path, upstream: Upstream) -> Iterator[Server]:
    environ = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal", "APP_MODELS": ",".join(MODELS)}
    with serving(tmp_path, **environ, APP_ABANDON_GRACE_S="0", APP_LOG_LEVEL="ERROR", WEB_CONCURRENCY="2") as server:
        yield server


class Caller(threading.Thread):
    """One that keeps its connection, asks one thing after another, and hangs up now and then.

    `wrong` are answers that were not its own; `counts` how its requests ended.
    """

    def __init__(self, number: int, port: int, requests: int) -> None:
        super().__init__(daemon=True)
        self._dice = random.Random(f"{SEED}-{number}")
        self._name, self._port, self._requests = f"caller{number}", port, requests
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        for turn in range(self._requests):
            try:
                self._ask(f"{self._name}x{turn}x{self._dice.getrandbits(64):x}")
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                self._hang_up()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, nonce: str) -> None:
        # A quarter asks what several ask at once: their call is shared.
        shared = self._dice.random() < 0.25
        text = f"shared{self._dice.randrange(20)}" if shared else nonce
        body = {"template_id": "basic_chat_v1", "input": text, "model": self._dice.choice(MODELS)}
        stream, leaves = self._dice.random() < 0.5, self._dice.random() < 0.3
        connection = self._connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._connection = connection
        headers = {"Content-Type": "application/json", "X-Request-ID": nonce}
        connection.request("POST", "/api/v1/generate", json.dumps({**body, "stream": stream}), headers)
        if leaves:
            self._leave(connection)
            return
        response = connection.getresponse()
        told, data = response.headers["X-Request-ID"], response.read().decode()
        self.counts["streamed" if stream else "plain"] += 1
        if (response.status, told) != (200, nonce):
            self.wrong.append(f"{nonce}: {response.status} for {told}: {data[:200]}")
        answer = _done(data) if stream else json.loads(data)
        if (answer["output"], answer["user_prompt"]) != (f"Answer to: {text}", text):
            self.wrong.append(f"{text}: {answer['output']!r}")

    def _leave(self, connection: http.client.HTTPConnection) -> None:
        """At once, or after the first bytes of the answer."""
        self.counts["left"] += 1
        if self._dice.random() < 0.5:
            connection.sock.settimeout(self._dice.random() * 0.05 + 0.001)
            with suppress(TimeoutError):  # it may not have begun
                connection.sock.recv(self._dice.randrange(1, 400))
        if self._dice.random() < 0.5:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._hang_up()


def _done(events: str) -> dict[str, str]:
    last = events.rstrip("\n").rsplit("\n\n", 1)[-1]
    assert last.startswith("event: done\n"), last[:300]
    return json.loads(last.split("\ndata: ", 1)[1])  # type: ignore[no-any-return]


def test_everyone_gets_their_own_answer(server: Server) -> None:
    port = int(server.base_url.rpartition(":")[2])
    callers = [Caller(number, port, REQUESTS // CALLERS + 1) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(1200)
    assert [wrong for caller in callers for wrong in caller.wrong] == []
    counts = sum((caller.counts for caller in callers), Counter[str]())
    print(dict(counts))
    assert counts.total() >= REQUESTS
    assert min(counts["left"], counts["streamed"], counts["plain"]) > REQUESTS // 10
    assert '"event": "unexpected error"' not in server.log.read_text()
