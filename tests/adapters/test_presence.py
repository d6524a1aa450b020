"""Who is alive, on PostgreSQL: told by a table, with the database's clock. Dates are moved in the table, never waited for."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Connection, delete, select, update

from llm_service.adapters.sql.generations import SqlGenerations
from llm_service.adapters.sql.postgres.database import POOL_SIZE, PostgresDatabase
from llm_service.adapters.sql.postgres.presence import (
    DEAD_S,
    GAP_S,
    OtherSecret,
    PostgresPresence,
    Process,
    check_secret,
    digest_of_secret,
)
from llm_service.adapters.sql.tables import generations, processes
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock
from tests.support.stores import Stores

SECRET = digest_of_secret(b"the secret of all nodes")


def process(name: str, node: str = "a", secret: str = SECRET) -> Process:
    return Process(name, node, 1, secret, "1.0")


def nothing() -> None:
    """No pause."""


class Node:
    """A process: its presence, and the stores that write its id into rows."""

    def __init__(self, database: PostgresDatabase, clock: ManualClock, name: str) -> None:
        self.presence = PostgresPresence(database, process(name), clock.monotonic)
        self.generations = SqlGenerations(database, process_id=name)

    def begin(self, number: int) -> str:
        self.presence.begin(f"id-{number}")
        self.generations.record_started(generation(number))
        return f"id-{number}"


class Nodes:
    def __init__(self, database: PostgresDatabase) -> None:
        self.database, self.clock = database, ManualClock()
        self.stores = Stores(database)
        self.first, self.second = Node(database, self.clock, "first"), Node(database, self.clock, "second")

    def steady(self) -> None:
        """The first one beats for so long that it may judge."""
        for _ in range(round(DEAD_S / 2) + 1):
            self.clock.advance(2)
            self.first.presence.beat()

    def see_last(self, name: str, ago_s: float) -> None:
        earlier = update(processes).where(processes.c.process_id == name)
        earlier = earlier.values(seen_ms=processes.c.seen_ms - round(ago_s * 1000))
        self.database.write(lambda connection: connection.execute(earlier))

    def names(self) -> set[str]:
        query = select(processes.c.process_id)
        return self.database.read(lambda connection: set(connection.execute(query).scalars()))

    def dead(self) -> list[str]:
        """What the first one takes for dead, of all that is unfinished. One by one it says the same."""
        ids = sorted(self.first.generations.unfinished_ids())
        dead = list(self.first.presence.dead_among(ids, nothing))
        assert [request_id for request_id in ids if not self.first.presence.runs(request_id)] == dead
        return dead


@pytest.fixture(name="nodes")
def _nodes(new_postgres: Callable[[], PostgresDatabase]) -> Iterator[Nodes]:
    nodes = Nodes(new_postgres())
    yield nodes
    nodes.stores.close()


def test_what_a_process_runs_that_was_not_seen_for_eight_seconds_is_dead(nodes: Nodes) -> None:
    own, its = nodes.first.begin(1), nodes.second.begin(2)
    nodes.steady()
    nodes.see_last("second", DEAD_S - 2)
    assert nodes.dead() == []
    nodes.see_last("second", 2)
    assert nodes.dead() == [its]
    nodes.second.presence.beat()
    assert nodes.dead() == [], "it was only stopped"
    nodes.first.presence.end(own)
    assert nodes.dead() == [own], "nobody runs it any more"


def test_what_is_finished_is_of_no_interest(nodes: Nodes) -> None:
    nodes.second.begin(1)
    nodes.stores.finish(completed(generation(1)))
    nodes.steady()
    nodes.see_last("second", DEAD_S)
    assert nodes.first.presence.dead_among(["id-1"], nothing) == []
    assert nodes.first.presence.runs("id-1")


def test_who_leaves_runs_nothing(nodes: Nodes) -> None:
    its = nodes.second.begin(1)
    nodes.steady()
    nodes.second.presence.close()
    nodes.second.presence.beat()
    assert nodes.names() == {"first"}
    assert nodes.dead() == [its]


def test_who_was_not_seen_itself_does_not_judge_others(nodes: Nodes) -> None:
    """While the database is away, nobody is seen: afterwards everyone has time to come back."""
    its = nodes.second.begin(1)
    nodes.see_last("second", DEAD_S)
    assert nodes.dead() == [], "it has just begun"
    nodes.steady()
    assert nodes.dead() == [its]
    nodes.clock.advance(GAP_S + 0.1)
    assert nodes.dead() == [], "its own beat is late"
    nodes.first.presence.beat()
    assert nodes.dead() == [], "it was away itself"
    nodes.steady()
    assert nodes.dead() == [its]


def test_nobody_is_dead_because_the_clock_of_the_database_was_set(nodes: Nodes) -> None:
    its = nodes.second.begin(1)
    nodes.steady()
    for name in ("first", "second"):
        nodes.see_last(name, 3600)
    assert nodes.dead() == [], "nor was it seen itself, by that clock"
    nodes.first.presence.beat()
    assert nodes.dead() == [], "the other one has had no time yet"
    nodes.steady()
    assert nodes.dead() == [its]


def test_a_beat_waits_behind_no_answers_and_no_searches(nodes: Nodes) -> None:
    """A process that is slow with these is alive."""
    done, busy = threading.Event(), threading.Barrier(POOL_SIZE + 2)

    def hold(_connection: Connection) -> None:
        busy.wait(10)
        done.wait(10)

    works = [partial(nodes.database.write, hold, short=True), *[partial(nodes.database.read, hold)] * POOL_SIZE]
    with ThreadPoolExecutor(len(works)) as others:
        held = [others.submit(work) for work in works]
        busy.wait(10)
        nodes.first.presence.beat()
        assert not any(work.done() for work in held)
        done.set()


def test_a_row_that_names_no_process_is_left_to_the_deadline(nodes: Nodes) -> None:
    """Of a program of the version before, or of SQLite."""
    nodes.stores.start(generation(1))
    nodes.steady()
    assert nodes.dead() == []
    assert nodes.first.presence.runs("no such generation")


def test_a_process_that_was_forgotten_is_alive_again_with_its_next_beat(nodes: Nodes) -> None:
    nodes.second.begin(1)
    nodes.steady()
    nodes.database.write(lambda connection: connection.execute(delete(processes)))
    nodes.second.presence.beat()
    assert nodes.names() == {"second"}
    nodes.first.presence.beat()
    assert nodes.dead() == []


def test_a_process_that_was_away_is_seen_before_it_begins_anything(nodes: Nodes) -> None:
    nodes.clock.advance(GAP_S + 0.1)
    nodes.see_last("second", DEAD_S)
    nodes.second.begin(1)
    nodes.steady()
    assert nodes.dead() == []


def test_rows_of_processes_that_died_long_ago_are_removed(nodes: Nodes) -> None:
    nodes.see_last("second", 4000)
    PostgresPresence(nodes.database, process("third"))
    assert nodes.names() == {"first", "third"}


def test_a_node_with_another_secret_is_refused_while_others_are_alive(nodes: Nodes) -> None:
    other = digest_of_secret(b"another secret")
    message = "SECRET_KEY: the node a, which uses the same database, has another one. .* stop all nodes"
    with pytest.raises(OtherSecret, match=message):
        PostgresPresence(nodes.database, process("third", "b", other))
    with pytest.raises(OtherSecret, match=message):
        check_secret(nodes.database, "b", other)
    assert nodes.names() == {"first", "second"}
    check_secret(nodes.database, "b", SECRET)
    check_secret(nodes.database, "a", other)  # the same node begins to use a new one
    for name in ("first", "second"):
        nodes.see_last(name, DEAD_S + 0.1)
    PostgresPresence(nodes.database, process("third", "b", other))


def test_rows_name_the_process_that_runs_them(nodes: Nodes) -> None:
    first = nodes.first.begin(1)
    nodes.second.generations.record_started(generation(2, answer_id=first))
    nodes.second.generations.transaction(lambda unit: unit.generations.start(generation(3)))
    query = select(generations.c.process_id).order_by(generations.c.position)
    named = nodes.database.read(lambda connection: list(connection.execute(query).scalars()))
    assert named == ["first", "second", "second"]


def test_a_process_asks_only_for_its_own_running_rows(nodes: Nodes) -> None:
    mine = nodes.first.begin(1)
    theirs = nodes.second.begin(2)
    assert (nodes.first.generations.running_ids(), nodes.second.generations.running_ids()) == ({mine}, {theirs})
    nodes.second.generations.request_cancel("alice", mine)
    assert nodes.first.generations.running_ids() == set()
