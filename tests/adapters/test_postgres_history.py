"""The history on PostgreSQL: exports in little memory, and deletion that holds nobody up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from llm_service.adapters.sql.postgres import full_text
from llm_service.adapters.sql.postgres.connections import driver_of
from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.adapters.sql.postgres.search_documents import documents
from llm_service.adapters.sql.retention import DELETE_BATCH
from llm_service.adapters.sql.tables import metadata
from tests.support.builders import completed, generation
from tests.support.clocks import until
from tests.support.postgres import PostgresServer
from tests.support.stores import Stores


@pytest.mark.slow
def test_an_export_holds_few_texts_and_no_transaction(new_postgres_url: Callable[[], str]) -> None:
    url = new_postgres_url()
    store = Stores(PostgresDatabase(url))
    text = "a" * 2 * 2**20
    for number in range(60):
        store.record_started(generation(number, input=text))
    export = store.export("alice")
    with more_memory_mib() as more:
        assert next(export).input == text
    assert more() < 60
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        assert connection.execute(query).fetchone() == (0,)
    assert len(list(export)) == 59
    store.close()


@contextmanager
def more_memory_mib() -> Iterator[Callable[[], float]]:
    """How much more the process had meanwhile, at its peak, than before."""
    status, peak = Path("/proc/self/status"), 0

    def kib() -> int:
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])

    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it has now
    before = kib()
    yield lambda: (peak - before) / 1024
    peak = kib()


def test_a_deletion_that_waits_for_a_row_holds_up_no_answer(new_postgres_url: Callable[[], str]) -> None:
    url = new_postgres_url()
    store = Stores(PostgresDatabase(url))
    for number in range(5):
        store.start(generation(number))
        store.finish(completed(generation(number)))
    deleted: list[int] = []
    thread = threading.Thread(target=lambda: deleted.append(store.delete_all("alice")))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as looking:
        other.execute("SELECT 1 FROM generations WHERE request_id = 'id-3' FOR UPDATE")
        thread.start()
        until(lambda: looking.execute(waiting).fetchone() != (0,))
        store.start(generation(9, owner="bob"))
        assert store.finish(completed(generation(9, owner="bob")))
        assert deleted == []
    thread.join()
    assert deleted == [5]
    store.close()


def test_a_deletion_goes_on_after_a_batch_that_another_process_deletes(new_postgres_url: Callable[[], str]) -> None:
    """As when all of an owner's rows are deleted while the old ones are pruned: both begin with the oldest."""
    url = new_postgres_url()
    store = Stores(PostgresDatabase(url))
    for number in range(DELETE_BATCH + 3):
        store.start(generation(number))
    deleted: list[int] = []
    thread = threading.Thread(target=lambda: deleted.append(store.delete_all("alice")))
    oldest = "SELECT request_id FROM generations ORDER BY position LIMIT %s"
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as looking:
        other.execute(f"DELETE FROM generations WHERE request_id IN ({oldest})", (DELETE_BATCH,))
        thread.start()
        until(lambda: looking.execute(waiting).fetchone() != (0,))
        other.commit()
        thread.join()
    assert deleted == [3]
    assert store.queries.newest("alice", 10) == []
    store.close()


SLOW_INDEX = """
    CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); END';
    CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION slow()
"""


@pytest.mark.slow
def test_the_index_of_a_copy_may_take_longer_than_any_statement_of_a_request(
    new_postgres_url: Callable[[], str], postgres_server: PostgresServer
) -> None:
    url = new_postgres_url()
    for statement in SLOW_INDEX.split(";\n"):
        postgres_server.run(statement, url.rsplit("/", 1)[1])
    database = PostgresDatabase(url)

    def work(connection: Connection) -> None:
        with full_text.built_at_the_end(connection):
            driver_of(connection).silence_s = 0.5

    database.write(work)
    database.close()


def test_migrations_lead_to_the_tables(new_postgres: Callable[[], PostgresDatabase]) -> None:
    database = new_postgres()
    every: Any = [metadata, documents.metadata]
    difference = database.read(lambda connection: compare_metadata(MigrationContext.configure(connection), every))
    database.close()
    # Migrations leave the comments of columns out.
    assert [change for change in difference if change[0][0] != "modify_comment"] == []
