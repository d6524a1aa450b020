"""Nodes that share a PostgreSQL database learn from it who is alive, and take nobody for dead who is not."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import ask, get, provider
from tests.support.clocks import until
from tests.support.postgres import PostgresServer
from tests.support.processes import Server, free_port, gunicorn, serving
from tests.support.upstream import Upstream

SECRET = "0123456789abcdef0123456789abcdef-nodes"
# Longer than the eight seconds after which a silent process is dead, twice: before and after the database is back.
AWAY_S, LONG = 20, "slow-34"
BRIEF, ENDLESS = "slow-6", "slow-300"


@dataclass
class Nodes:
    database: PostgresServer
    url: str
    environ: dict[str, str]
    first: Server
    second: Server

    def one(self, query: str) -> Any:
        (row,) = self.database.run(query, self.url.rsplit("/", 1)[1])
        return row[0]

    def status(self, text: str) -> str | None:
        """Of the generation with this input."""
        return self.one(f"SELECT min(status) FROM generations WHERE snippet = '{text}'")  # type: ignore[no-any-return]


@pytest.fixture(scope="module", name="nodes")
def _nodes(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    database = PostgresServer(folder)
    try:
        url = database.start().new_database()
        models = provider(upstream, BRIEF, LONG, ENDLESS)
        environ = {
            **models,
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET,
            "APP_GRACE_S": "3",
            "APP_CACHE_MAX_ENTRIES": "0",
        }
        (folder / "second").mkdir()
        with (
            serving(folder, **environ) as first,
            serving(folder / "second", **environ, PORT=str(free_port())) as second,
        ):
            yield Nodes(database, url, environ, first, second)
    finally:
        database.close()


def signal_to(server: Server, number: signal.Signals) -> None:
    """The master first: it would replace the worker."""
    for pid in (server.process.pid, *server.workers()):
        os.kill(pid, number)


def test_a_node_that_stood_still_is_given_up_and_corrects_the_sums_when_it_goes_on(nodes: Nodes) -> None:
    with ThreadPoolExecutor(1) as others:
        answer = others.submit(ask, nodes.second, model=BRIEF, input="stood still")
        until(lambda: nodes.status("stood still") == "running")
        signal_to(nodes.second, signal.SIGSTOP)
        try:
            until(lambda: nodes.status("stood still") == "interrupted")
        finally:
            signal_to(nodes.second, signal.SIGCONT)
        status, body = answer.result()
    assert (status, body["status"]) == (200, "completed")
    assert get(nodes.first, f"history/{body['request_id']}")["status"] == "completed"
    (line,) = get(nodes.first, "usage?group_by=owner")["items"]
    assert (line["requests"], line["completed"], line["interrupted"]) == (1, 1, 0)


def test_nobody_looks_dead_after_the_database_was_away(nodes: Nodes) -> None:
    seen = set()
    with ThreadPoolExecutor(1) as others:
        answer = others.submit(ask, nodes.second, model=LONG, input="away")
        until(lambda: nodes.status("away") == "running")
        nodes.database.stop(signal.SIGQUIT)
        time.sleep(AWAY_S)
        nodes.database.start()
        while not answer.done():
            seen.add(nodes.status("away"))
            time.sleep(0.2)
        status, body = answer.result()
    assert (status, body["status"]) == (200, "completed")
    assert {"running"} <= seen <= {"running", "completed"}


def test_what_a_killed_node_ran_is_ended_by_another(nodes: Nodes, tmp_path: Path) -> None:
    with serving(tmp_path, **{**nodes.environ, "PORT": str(free_port())}) as third, ThreadPoolExecutor(1) as others:
        lost = others.submit(ask, third, model=ENDLESS, input="killed")
        until(lambda: nodes.status("killed") == "running")
        signal_to(third, signal.SIGKILL)
        assert isinstance(lost.exception(), OSError)
        until(lambda: nodes.status("killed") == "interrupted", 30)


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("another-0123456789abcdef0123456789abcdef", "has another one. All nodes need the same SECRET_KEY"),
        ("", "SECRET_KEY: must be set where DATABASE_URL is PostgreSQL"),
    ],
)
def test_a_node_without_the_secret_of_the_others_does_not_start(
    nodes: Nodes, tmp_path: Path, secret: str, message: str
) -> None:
    process = gunicorn(tmp_path, **{**nodes.environ, "SECRET_KEY": secret, "PORT": str(free_port())})
    assert process.wait(60) == 78
    log = (tmp_path / "server.log").read_text()
    assert message in log
    assert SECRET not in log
    assert nodes.one("SELECT count(DISTINCT secret_digest) FROM processes") == 1
