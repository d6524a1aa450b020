"""A program and a database of another version, as they meet during an update of several processes."""

import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, inspect

from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.schema import MIGRATIONS, REVISIONS
from llm_service.adapters.sql.sqlite.database import Database, migrate


@pytest.fixture(name="url")
def _url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/history.db"


@pytest.mark.parametrize("since", ["UPDATE schema_compatibility SET since = '9999'", "DROP TABLE schema_compatibility"])
def test_a_newer_schema_is_refused(url: str, since: str) -> None:
    migrate(url)
    become_newer(url, since)
    with pytest.raises(DatabaseFault, match="newer than this program"):
        Database(url)


def test_a_newer_schema_that_only_adds_is_used_as_it_is(url: str) -> None:
    """A process of the version before is restarted during an update."""
    migrate(url)
    become_newer(url, f"UPDATE schema_compatibility SET since = '{REVISIONS[-1]}'")
    assert not migrate(url)
    database = Database(url)
    SqlEpochs(database).advance("a")
    database.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


def become_newer(url: str, since: str) -> None:
    """`since`: what else changes in the schema of a later version."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute(since)
    connection.close()


def test_newer_migrations_only_add(url: str) -> None:
    """So a program of the version before goes on working. Its rows have none of the new columns."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    for before, after in pairwise(REVISIONS[REVISIONS.index("0010") :]):
        shapes = []
        for revision in (before, after):
            engine = create_engine(url)
            with engine.connect() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                shapes.append(shape_of(connection))
            engine.dispose()
        old, new = shapes
        for table, was in old.items():
            now = new[table]
            assert {name: now[0].get(name) for name in was[0]} == was[0], (after, table, "columns")
            assert now[1:] == was[1:], (after, table, "keys and uniqueness")
            for name in now[0].keys() - was[0].keys():
                _, nullable, default = now[0][name]
                assert nullable or default is not None, (after, table, name)


def shape_of(connection: Connection) -> dict[str, tuple[Any, ...]]:
    """By table: its columns by name, and what may make an insertion fail."""
    inspector = inspect(connection)
    shape = {}
    for table in inspector.get_table_names():
        columns = {
            column["name"]: (str(column["type"]), column["nullable"], column["default"])
            for column in inspector.get_columns(table)
        }
        unique = sorted(index["name"] or "" for index in inspector.get_indexes(table) if index["unique"])
        constraints = (
            inspector.get_pk_constraint(table),
            inspector.get_foreign_keys(table),
            inspector.get_unique_constraints(table),
            inspector.get_check_constraints(table),
        )
        shape[table] = (columns, unique, *constraints)
    return shape
