"""Others learn soon that the process of a generation was killed: the kernel tells them."""

import json
import os
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import BODY, get, provider
from tests.support.clocks import until
from tests.support.processes import Server, free_port, serving
from tests.support.upstream import Upstream

# Longer than the requests of these tests wait.
MODEL = "slow-90"
WAIT_S = 45


def keyed(server: Server, key: str) -> HTTPResponse:
    """A streamed request with an Idempotency-Key."""
    data = json.dumps({**BODY, "input": key, "model": MODEL, "stream": True}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(f"{server.base_url}/api/v1/generate", data, headers)
    response: HTTPResponse = urllib.request.urlopen(request, timeout=WAIT_S)
    return response


def resumed(server: Server, request_id: str) -> HTTPResponse:
    response: HTTPResponse = urllib.request.urlopen(
        f"{server.base_url}/api/v1/history/{request_id}/events", timeout=WAIT_S
    )
    return response


def next_event(response: HTTPResponse) -> Any:
    """What the next event says; comments keep a silent stream alive, and are skipped."""
    for line in response:
        if line.startswith(b"data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")


@pytest.fixture(name="servers")
def _servers(tmp_path: Path, upstream: Upstream) -> Iterator[tuple[Server, Server]]:
    """Two on one database. Killed generations may run on at the provider; these servers have the budget to end at once."""
    environ = provider(upstream, MODEL, APP_GRACE_S="3")
    with serving(tmp_path, **environ) as first, serving(tmp_path, **{**environ, "PORT": str(free_port())}) as second:
        yield first, second


def kill(server: Server) -> None:
    """The master first: it would replace the worker."""
    for pid in (server.process.pid, *server.workers()):
        os.kill(pid, signal.SIGKILL)


def test_who_waits_for_a_killed_process_is_told_and_the_key_is_free_again(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    first, second = servers
    with keyed(first, "one") as first_stream, keyed(first, "two") as second_stream:
        ids = [next_event(response)["request_id"] for response in (first_stream, second_stream)]
        with keyed(second, "one") as joined, resumed(second, ids[0]) as page:
            assert joined.headers["Idempotency-Replayed"] == "true"
            assert [next_event(response)["request_id"] for response in (joined, page)] == [ids[0]] * 2
            kill(first)
            assert [next_event(response)["error"] for response in (joined, page)] == ["interrupted"] * 2
        for key, request_id in zip(("one", "two"), ids, strict=True):
            with keyed(second, key) as again:
                assert "Idempotency-Replayed" not in again.headers
                assert next_event(again)["request_id"] not in ids
            assert get(second, f"history/{request_id}")["status"] == "interrupted"


def test_a_row_that_nobody_asks_for_is_ended_too(servers: tuple[Server, Server], tmp_path: Path) -> None:
    first, _ = servers
    with keyed(first, "one") as stream:
        request_id = next_event(stream)["request_id"]
        kill(first)

    def status() -> str:
        with sqlite3.connect(tmp_path / "service.db") as database:
            (found,) = database.execute("SELECT status FROM generations WHERE request_id = ?", (request_id,)).fetchone()
        database.close()
        return str(found)

    until(lambda: status() == "interrupted", WAIT_S)
