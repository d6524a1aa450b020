"""Workers that start while another process has locked the database."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.calls import ask, get
from tests.support.clocks import until
from tests.support.locks import locked
from tests.support.processes import Server, serving

# Longer than SQLite waits for a lock.
HELD_S = 8


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
    """Whoever wants the whole file for itself gets it only while no worker has it open."""
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
