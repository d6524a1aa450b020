"""The service on PostgreSQL, as it is deployed: its start, and what callers see when the database server fails."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.support.calls import ask, get, provider
from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.postgres import PostgresServer
from tests.support.processes import STOP_S, environment, free_port, gunicorn, serving
from tests.support.upstream import Upstream

PASSWORD = "canary-pw-0123"
SECRET_KEY = "b9f4" * 4 + "0c7d21e8a65f3b90" * 2


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """For these tests, which restart it."""
    server = PostgresServer(tmp_path_factory.mktemp("server"))
    try:
        yield server.start()
    finally:
        server.close()


def on_postgres(url: str, folder: Path, **more: str) -> dict[str, str]:
    url = url.replace("llm@", f"llm:{PASSWORD}@")
    return {"DATABASE_URL": url, "APP_DATA_DIR": str(folder / "var"), "SECRET_KEY": SECRET_KEY, **more}


@pytest.mark.slow
def test_a_start_waits_for_the_server_and_several_workers_find_it_migrated(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    settings = on_postgres(server.url(), tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="2")
    starting = threading.Timer(2, server.start)
    starting.start()
    try:
        with serving(tmp_path, **settings) as service:
            assert ask(service)[0] == 200
    finally:
        starting.join()
        server.close()


@pytest.mark.slow
def test_without_a_server_the_start_ends_with_a_line(tmp_path: Path) -> None:
    """After half a minute."""
    url = f"postgresql://llm@127.0.0.1:{free_port()}/llm"
    process = gunicorn(tmp_path, **on_postgres(url, tmp_path, APP_PROVIDER="echo"), PORT=str(free_port()))
    began = time.monotonic()
    assert process.wait(STOP_S) == 1
    assert time.monotonic() - began >= 30
    log = (tmp_path / "server.log").read_text()
    assert [line for line in log.splitlines() if "PostgreSQL cannot be used" in line] != []
    assert PASSWORD not in log
    assert "Traceback" not in log


def flask(folder: Path, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **settings), capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_an_older_schema_is_migrated_by_command_only(tmp_path: Path, server: PostgresServer) -> None:
    """An interrupted migration of an empty database leaves nothing, so an older schema is an older program's."""
    url = server.new_database()
    name = url.rsplit("/", 1)[1]
    settings = on_postgres(url, tmp_path, APP_PROVIDER="echo", PORT=str(free_port()))
    assert "was migrated" in flask(tmp_path, settings, "db", "upgrade").stdout
    assert "up to date" in flask(tmp_path, settings, "db", "upgrade").stdout
    server.run("UPDATE alembic_version SET version_num = '0009'", name)
    process = gunicorn(tmp_path, **settings)
    assert process.wait(STOP_S) == 1
    assert "flask db upgrade" in (tmp_path / "server.log").read_text()


COOPERATIVE = """
    from gevent import monkey
    monkey.patch_all()
    import sys, gevent
    from sqlalchemy import text
    from llm_service.adapters.sql.postgres.database import PostgresDatabase

    database, order = PostgresDatabase(sys.argv[1]), []

    def slow(name, run):
        run(lambda connection: connection.execute(text("SELECT pg_sleep(1.5)")))
        order.append(name)

    def quick():
        gevent.sleep(0.2)
        database.read(lambda connection: connection.execute(text("SELECT 1")))
        database.read(lambda connection: connection.execute(text("SELECT 1")), sign_in=True)
        order.append("quick")

    ticks = 0
    def tick():
        global ticks
        while True:
            gevent.sleep(0.01)
            ticks += 1

    gevent.spawn(tick)
    gevent.joinall([
        gevent.spawn(slow, "read", database.read),
        gevent.spawn(slow, "read", database.read),
        gevent.spawn(slow, "write", lambda work: database.write(work)),
        gevent.spawn(slow, "group", lambda work: database.write(work, short=True)),
        gevent.spawn(quick),
    ], raise_error=True)
    database.close()
    print(order[0], len(order), ticks > 20)
"""


@pytest.mark.slow
def test_a_slow_query_delays_nobody(tmp_path: Path, server: PostgresServer) -> None:
    command = [sys.executable, "-c", textwrap.dedent(COOPERATIVE), server.new_database()]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["quick", "5", "True"], done.stderr


@pytest.mark.slow
def test_a_worker_goes_on_while_a_query_waits(tmp_path: Path, server: PostgresServer) -> None:
    """The workers load the driver after the standard library is patched: the master does not load it."""
    url = server.new_database()
    settings = on_postgres(url, tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="1")
    with serving(tmp_path, **settings) as service, ThreadPoolExecutor(1) as callers:
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE generations IN ACCESS EXCLUSIVE MODE")
            waiting = callers.submit(get, service, "history")
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: server.run(waits) != [(0,)])
            assert get(service, "health")["status"] == "ok"
            assert not waiting.done()
        assert waiting.result()["items"] == []


@pytest.mark.slow
def test_restarts_of_an_idle_server_are_not_noticed(tmp_path: Path, server: PostgresServer) -> None:
    settings = on_postgres(server.new_database(), tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="2")
    with serving(tmp_path, **settings) as service:
        assert ask(service, input="before")[0] == 200
        for how in (signal.SIGINT, signal.SIGQUIT):
            server.restart(how)
            for number in range(4):
                status, answer = ask(service, input=f"{how} {number}")
                assert (status, answer.get("error")) == (200, None)
        assert len(get(service, "history")["items"]) == 9
        assert PASSWORD not in service.log.read_text()


@pytest.mark.slow
def test_nothing_is_asked_of_a_model_while_the_server_is_away_and_what_was_paid_is_kept(
    tmp_path: Path, server: PostgresServer, upstream: Upstream
) -> None:
    settings = on_postgres(server.new_database(), tmp_path, **provider(upstream, "slow-2"), WEB_CONCURRENCY="1")
    with serving(tmp_path, **settings) as service, ThreadPoolExecutor(1) as callers:
        assert ask(service)[0] == 200
        asked = len(upstream.calls_of("slow-2"))
        paid = callers.submit(ask, service, model="slow-2", input="Paid")
        until(lambda: len(upstream.calls_of("slow-2")) == asked + 1)
        server.stop(signal.SIGQUIT)
        try:
            calls = len(upstream.calls)
            status, problem = ask(service, input="Refused")
            assert (status, problem["error"]) == (503, "storage-unavailable")
            assert len(upstream.calls) == calls
            status, problem = paid.result(60)
            assert (status, problem["error"]) == (503, "storage-unavailable")
            (spool,) = (tmp_path / "var").glob("postgresql-*.spool")
            assert b"Answer to: Paid" in spool.read_bytes()
        finally:
            server.start()
        until(lambda: not spool.read_bytes())
        until(lambda: get(service, f"history/{problem['request_id']}")["status"] == "completed")
        assert get(service, f"history/{problem['request_id']}")["output"] == "Answer to: Paid"
        assert ask(service, input="Afterwards")[0] == 200
        assert PASSWORD not in service.log.read_text()


@pytest.mark.slow
def test_a_worker_that_starts_while_the_server_is_away_waits_and_the_others_go_on(
    tmp_path: Path, server: PostgresServer
) -> None:
    settings = on_postgres(server.new_database(), tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="2")
    with serving(tmp_path, **settings) as service:
        killed, other = service.workers()
        server.stop()
        try:
            os.kill(killed, signal.SIGKILL)
            until(lambda: "PostgreSQL cannot be used" in service.log.read_text())
            assert get(service, "health")["status"] == "ok"
            assert service.process.poll() is None
            assert other in service.workers()
        finally:
            server.start()
        (new,) = set(service.workers()) - {other}
        os.kill(other, signal.SIGSTOP)
        try:
            assert ask(service)[0] == 200
        finally:
            os.kill(other, signal.SIGCONT)
        assert new in service.workers()
