"""`flask db copy`: everything of a SQLite database is in PostgreSQL afterwards, or nothing is."""

import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.copying import copied_tables
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.keys import SqlKeys
from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.adapters.sql.revisions import SqlRevisions
from llm_service.adapters.sql.sqlite.database import Database as SqliteDatabase
from llm_service.adapters.sql.tables import answers
from llm_service.core.access.caller import Scope
from llm_service.core.access.keyring import Keyring
from llm_service.core.generation.model import IdempotencyKey
from llm_service.core.history.model import Filters
from llm_service.core.history.search import parse_search
from llm_service.core.templates.model import StoredRevision
from tests.support.builders import completed, generation
from tests.support.command_line import flask
from tests.support.hostile import NASTY
from tests.support.postgres import PostgresServer
from tests.support.stores import Stores

# No service stores a NUL or half a character.
TEXTS = [text for text in NASTY if not {"\0", "\ud800"} & set(text)]
ROWS = 2 * len(TEXTS) + 3


def fill(store: Stores) -> str:
    """Rows in the tables that a service fills. Returns the text of a key."""
    for number, text in enumerate(TEXTS):
        made = generation(number, input=f"number{number} {text}")
        store.start(made)
        store.finish(completed(made, output=text))
        hit = completed(generation(1000 + number, answer_id=made.answer_id, input=made.input), cached=True)
        store.record_hit(hit, made.answer_id, durable=True)
    for number in range(2):
        other = generation(3000 + number, "bob", input="of bob")
        store.start(other)
        store.finish(completed(other))
    store.start(generation(4000))
    joined = generation(4001, answer_id=generation(4000).request_id)
    store.record_started(joined)
    store.finish(completed(joined))
    store.delete("alice", joined.request_id)
    key = IdempotencyKey("route", "key", "f" * 64)
    store.idempotency.claim("alice", key, generation(1).request_id, SystemClock().now_ms())
    SqlRevisions(store.database).add(StoredRevision("chat_v1", "0" * 12, 1000, "\n".join(TEXTS)))
    return Keyring(SqlKeys(store.database), SystemClock(), secrets.token_bytes).make("alice", frozenset(Scope))[0]


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: database.read(
            lambda connection, table=table: [  # type: ignore[misc]
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
        )
        for table in copied_tables()
    }


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> tuple[str, str]:
    """The URL of a full database, and a key in it."""
    url = f"sqlite:///{tmp_path}/old.db"
    store = Stores(SqliteDatabase(url))
    try:
        return url, fill(store)
    finally:
        store.close()


def test_everything_is_copied(tmp_path: Path, source: tuple[str, str], postgres_server: PostgresServer) -> None:
    """Into a database that has no schema yet."""
    url, key = source
    target = postgres_server.new_database()
    done = flask(tmp_path, "db", "copy", url, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Copied {ROWS:,} generations with {len(TEXTS) + 3:,} texts.\n"
    assert "Copying" in done.stderr
    before, after = Stores(SqliteDatabase(url)), Stores(PostgresDatabase(target))
    try:
        assert rows_of(after.database) == rows_of(before.database)
        for query in ("number7", "number1*", "-number3", "bob"):
            filters = Filters(search=parse_search(query))
            found = [store.queries.newest("alice", 200, filters=filters) for store in (before, after)]
            assert found[0] == found[1], query
        assert [row for _, row in after.queries.newest("bob", 9, filters=Filters(search=parse_search("bob")))]
        # It goes on where the old one ended, also if the newest row was deleted and its texts were not.
        last = after.database.read(
            lambda connection: connection.execute(select(func.max(answers.c.document))).scalar_one()
        )
        assert last > after.queries.newest("alice", 1)[0][0]
        after.start(generation(5000))
        assert after.queries.newest("alice", 1)[0][0] > last
        keyring = Keyring(SqlKeys(after.database), SystemClock(), secrets.token_bytes)
        assert getattr(keyring.find(key), "owner", None) == "alice"
    finally:
        before.close()
        after.close()


def test_a_text_that_postgresql_cannot_store_is_changed(
    tmp_path: Path, source: tuple[str, str], postgres_server: PostgresServer
) -> None:
    """Only early versions stored a NUL."""
    url, _ = source
    request_id = generation(1).request_id
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE generations SET snippet = ? WHERE request_id = ?", ("a\0b", request_id))
    connection.close()
    target = postgres_server.new_database()
    assert flask(tmp_path, "db", "copy", url, target).returncode == 0
    name = target.rsplit("/", 1)[1]
    found = postgres_server.run(f"SELECT snippet FROM generations WHERE request_id = '{request_id}'", name)
    assert found == [("a\ufffdb",)]


def test_nothing_is_copied_into_a_database_with_rows(
    tmp_path: Path, source: tuple[str, str], new_postgres_url: Callable[[], str], postgres_server: PostgresServer
) -> None:
    target = new_postgres_url()
    store = Stores(PostgresDatabase(target))
    try:
        store.start(generation(1))
        before = rows_of(store.database)
        done = flask(tmp_path, "db", "copy", source[0], target)
        assert (done.returncode, done.stdout) == (1, "")
        assert "TO: the database must be empty. The table " in done.stderr
        assert rows_of(store.database) == before
        name = target.rsplit("/", 1)[1]
        postgres_server.run("UPDATE alembic_version SET version_num = '0009'", name)
        assert flask(tmp_path, "db", "copy", source[0], target).returncode == 1
        assert postgres_server.run("SELECT version_num FROM alembic_version", name) == [("0009",)], "not migrated"
    finally:
        store.close()


def test_a_copy_that_fails_leaves_nothing(
    tmp_path: Path, source: tuple[str, str], new_postgres_url: Callable[[], str], postgres_server: PostgresServer
) -> None:
    target = new_postgres_url()
    name = target.rsplit("/", 1)[1]
    postgres_server.run("ALTER TABLE usage_hours ADD CONSTRAINT none CHECK (owner <> 'bob')", name)
    done = flask(tmp_path, "db", "copy", source[0], target)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert postgres_server.run("SELECT count(*) FROM generations", name) == [(0,)]
    postgres_server.run("ALTER TABLE usage_hours DROP CONSTRAINT none", name)
    limits = "current_setting('statement_timeout') || current_setting('idle_in_transaction_session_timeout')"
    postgres_server.run(f"ALTER TABLE answers ADD CONSTRAINT unhurried CHECK ({limits} = '00')", name)
    assert flask(tmp_path, "db", "copy", source[0], target).returncode == 0


def test_what_would_be_incomplete_is_refused(tmp_path: Path, source: tuple[str, str]) -> None:
    url, _ = source
    target = "postgresql://llm@127.0.0.1:1/none"
    running = Stores(SqliteDatabase(url))  # it announces itself as a process of the service does
    try:
        assert "FROM: the service is running" in flask(tmp_path, "db", "copy", url, target).stderr
    finally:
        running.close()
    (tmp_path / "old.db.spool").write_text("a paid answer\n")
    assert "FROM: " in (refused := flask(tmp_path, "db", "copy", url, target).stderr)
    assert "answers that are not in the history yet" in refused
    (tmp_path / "old.db.spool").unlink()
    missing = flask(tmp_path, "db", "copy", f"sqlite:///{tmp_path}/missing.db", target)
    assert (missing.returncode, "FROM: there is no file" in missing.stderr) == (1, True)
    assert not (tmp_path / "missing.db").exists()
    assert flask(tmp_path, "db", "copy", target, url).returncode == 2
    assert flask(tmp_path, "db", "copy", "mysql://x/y", target).returncode == 2
