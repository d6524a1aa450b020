"""Workers that start while another process has locked the database."""

import os
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.support.calls import ask, get, provider, stream
from tests.support.clocks import until
from tests.support.locks import locked
from tests.support.processes import STOP_S, Server, serving
from tests.support.upstream import Upstream

# Longer than SQLite waits for a lock.
HELD_S = 8


HANGING = 500
PAID = 5
OUTCOMES = """
    SELECT status, output, count(*) FROM generations JOIN answers USING (answer_id) GROUP BY status, output ORDER BY output
"""


def post(server: Server, path: str) -> int:
    request = urllib.request.Request(f"{server.base_url}/api/v1/{path}", method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        return int(response.status)


@contextmanager
def locked_later(path: Path) -> Iterator[Callable[[], None]]:
    """Yields what locks it; released at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(locked(path))


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def start_another(server: Server, killed: int) -> int:
    """The worker that takes the place of one that is killed."""
    before = server.workers()
    os.kill(killed, signal.SIGKILL)
    until(lambda: set(server.workers()) - set(before))
    return next(pid for pid in server.workers() if pid not in before)


@pytest.mark.slow
def test_a_worker_starts_while_another_process_writes_and_the_others_go_on(tmp_path: Path) -> None:
    with serving(tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="2") as server:
        killed, other = server.workers()
        with locked(tmp_path / "service.db", "BEGIN EXCLUSIVE"):
            new = start_another(server, killed)
            time.sleep(HELD_S)
            assert get(server, "health")["status"] == "ok"
        assert server.process.poll() is None, server.log.read_text()
        assert sorted(server.workers()) == sorted([other, new])
        with stopped(other):
            assert ask(server)[0] == 200
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_worker_waits_while_nothing_can_be_read_and_then_serves(tmp_path: Path) -> None:
    """An exclusive lock on the file succeeds only while no worker has it open."""
    with serving(tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="1") as server, ExitStack() as lock:
        (killed,) = server.workers()
        with stopped(server.process.pid):
            os.kill(killed, signal.SIGKILL)
            until(lambda: Path(f"/proc/{killed}/stat").read_text().split()[2] == "Z")
            whole_file = ("PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE")
            lock.enter_context(locked(tmp_path / "service.db", *whole_file))
        until(lambda: "locked by another process" in server.log.read_text())
        (new,) = server.workers()
        time.sleep(HELD_S)
        assert (server.process.poll(), server.workers()) == (None, [new]), server.log.read_text()
        lock.close()
        assert ask(server)[0] == 200
        assert server.workers() == [new]


# Two seconds must be enough for 500 outcomes: on a machine that other tests keep busy they are not.
@pytest.mark.soak
def test_what_runs_when_the_service_stops_is_kept_though_the_database_is_locked(
    tmp_path: Path, upstream: Upstream
) -> None:
    """Complete answers that end after SIGTERM, and the texts of those that do not: more than end together."""
    settings = provider(
        upstream, "fault-hang-after-3", "slow-1", APP_GRACE_S="4", WEB_CONCURRENCY="1", APP_UPSTREAM_SLOTS="600"
    )
    with (
        serving(tmp_path, **settings) as server,
        ThreadPoolExecutor(HANGING + PAID) as callers,
        locked_later(tmp_path / "service.db") as lock,
    ):
        hanging, paid = len(upstream.calls_of("fault-hang-after-3")), len(upstream.calls_of("slow-1"))
        for number in range(HANGING):
            callers.submit(stream, server, "fault-hang-after-3", None, f"Hanging {number}")
        until(lambda: len(upstream.calls_of("fault-hang-after-3")) == hanging + HANGING)
        for number in range(PAID):
            callers.submit(ask, server, model="slow-1", input=f"Paid {number}")
        until(lambda: len(upstream.calls_of("slow-1")) == paid + PAID)
        lock()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_S) == 0
        assert (tmp_path / "service.db.spool").read_bytes()
    with serving(tmp_path, **settings) as server:
        assert get(server, "health")["status"] == "ok"
    with closing(sqlite3.connect(tmp_path / "service.db")) as database:
        ended = database.execute(OUTCOMES).fetchall()
    answers = [("completed", f"Answer to: Paid {number}", 1) for number in range(PAID)]
    assert ended == [*answers, ("interrupted", "part1 part2 part3 ", HANGING)]


def running(server: Server, number: int) -> list[str]:
    """The ids of generations, newest first, when there are so many."""
    until(lambda: len(get(server, "history")["items"]) == number)
    return [item["request_id"] for item in get(server, "history")["items"]]


def status_of(server: Server, request_id: str) -> str:
    return str(get(server, f"history/{request_id}")["status"])


@pytest.mark.slow
def test_what_a_stopped_call_cost_is_known_though_the_database_was_locked(tmp_path: Path, upstream: Upstream) -> None:
    """It goes on for the caller that shares it, and its bill comes when its outcome is only spooled."""
    question: dict[str, Any] = {"model": "slow-6", "input": "Shared"}
    paid = len(upstream.ledger)
    with (
        serving(tmp_path, **provider(upstream, "slow-6"), WEB_CONCURRENCY="1") as server,
        ThreadPoolExecutor(2) as callers,
    ):
        leads = callers.submit(ask, server, **question)
        (stopped_id,) = running(server, 1)
        joins = callers.submit(ask, server, **question)
        shared_id = running(server, 2)[0]
        with locked(tmp_path / "service.db"):
            with pytest.raises(HTTPError, match="503"):
                post(server, f"history/{stopped_id}/cancel")
            assert [joins.result(60)[0], leads.result(60)[0]] == [503, 503]
        until(lambda: status_of(server, stopped_id) == "cancelled" and status_of(server, shared_id) == "completed")
        (usage,) = upstream.ledger[paid:]
        until(lambda: get(server, f"history/{stopped_id}")["billed"]["input_tokens"] == usage["input_tokens"])
        total = get(server, "usage")["total"]
    assert total["requests"] == 2
    assert (total["input_tokens"], total["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    assert total["unknown_usage"] == 0
