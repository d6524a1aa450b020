"""Hundreds of callers without a valid key, at the same time: what they can make a worker open, and that it serves others."""

import os
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from llm_service.adapters.sql.sqlite.database import READ_THREADS, SIGN_IN_THREADS
from llm_service.core.access.keys import make_key
from tests.support.command_line import flask
from tests.support.processes import serving
from tests.support.stalls import Client

STRANGERS = 600


def open_databases(pid: int, path: Path) -> int:
    """How many descriptors of the database's file the process has."""
    found = 0
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{descriptor}") == str(path)
    return found


def credentials(kind: str) -> str:
    if kind == "keys":
        return f"Authorization: Bearer {make_key(os.urandom)[0]}"
    return f"Cookie: session={os.urandom(32).hex()}"


@pytest.mark.parametrize("kind", ["keys", "sessions"])
def test_strangers_open_no_connections_to_the_database(tmp_path: Path, kind: str) -> None:
    """All have sent their request before the first is answered, as the worker stands still meanwhile."""
    made = flask(tmp_path, "keys", "create", "ci", "--scope", "history")
    assert made.returncode == 0, made.stderr
    valid = {"Authorization": f"Bearer {made.stdout.strip()}"}
    environ = {"APP_AUTH": "required", "WEB_CONCURRENCY": "1", "APP_LOG_LEVEL": "CRITICAL"}
    with serving(tmp_path, **environ) as server:
        (pid,) = server.workers()
        client = Client(server)
        assert client.send("GET", "/api/v1/history", headers=valid).status == 200
        port = int(server.base_url.rpartition(":")[2])
        strangers = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(STRANGERS)]
        highest, served = 0, Counter[int]()
        over = threading.Event()

        def use_it() -> None:
            while not over.is_set():
                served[client.send("GET", "/api/v1/history", headers=valid).status] += 1
                time.sleep(0.02)

        user = threading.Thread(target=use_it)
        user.start()
        try:
            for stranger in strangers:
                head = f"GET /api/v1/history HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{credentials(kind)}\r\n\r\n"
                stranger.sendall(head.encode())
            answers: Counter[bytes] = Counter()
            for number, stranger in enumerate(strangers):
                answers[stranger.recv(4096)[9:12]] += 1
                if number % 20 == 0:
                    highest = max(highest, open_databases(pid, tmp_path / "service.db"))
        finally:
            over.set()
            user.join(60)
            client.close()
            for stranger in strangers:
                stranger.close()
        highest = max(highest, open_databases(pid, tmp_path / "service.db"))
    assert answers.keys() <= {b"401", b"429", b"503"}, answers
    assert highest <= READ_THREADS + SIGN_IN_THREADS + 1, "and the writer"
    assert served.keys() == {200}, served
