"""Sums of a version without providers: each keeps its value, and gets the provider that its model had."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, select, text

from llm_service.adapters.sql.schema import MIGRATIONS
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.core.clock import HOUR_MS
from llm_service.core.usage.sums import COUNTS, GroupBy
from tests.support.builders import MORNING, paid
from tests.support.stores import Stores

KEYS = [
    ("alice", "basic_chat_v1", "0123456789ab", "gpt-4o-mini"),
    ("alice", "basic_chat_v1", "0123456789ab", "echo"),
    ("bob", "summarize_v1", "ba9876543210", "gpt-4o-mini"),
]


def old_row(number: int, hour: int) -> dict[str, Any]:
    """Every sum has a value of its own; amounts are larger than a float can hold exactly."""
    owner, template_id, revision, model = KEYS[number]
    counts = {name: 1000 * number + at for at, name in enumerate(COUNTS, 1)}
    money = {"cost_picousd": 2**60 + number, "saved_picousd": 2**59 + number}
    key = {"owner": owner, "hour": hour, "template_id": template_id, "template_revision": revision, "model": model}
    return {"usage_id": 70 + number, **key, **counts, **money}


def tables(connection: Connection) -> tuple[Table, Table]:
    return tuple(Table(name, MetaData(), autoload_with=connection) for name in ("usage_hours", "usage_latencies"))  # type: ignore[return-value]


def old_database(url: str) -> None:
    with create_engine(url).connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        hours, latencies = tables(connection)
        for number in range(len(KEYS)):
            connection.execute(insert(hours), old_row(number, MORNING // HOUR_MS))
            for bucket in (0, 3, 40):
                connection.execute(
                    insert(latencies), {"usage_id": 70 + number, "bucket": bucket, "answers": bucket + 1}
                )
        connection.commit()


def rows(connection: Connection) -> tuple[list[dict[str, Any]], list[tuple[int, ...]]]:
    hours, latencies = tables(connection)
    sums = [dict(row._mapping) for row in connection.execute(select(hours).order_by(hours.c.usage_id))]
    buckets = connection.execute(select(latencies).order_by(latencies.c.usage_id, latencies.c.bucket))
    return sums, [tuple(row) for row in buckets]


def test_every_sum_is_as_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    old_database(url)
    with create_engine(url).connect() as connection:
        sums_before, buckets_before = rows(connection)
    database = Database(url)
    sums, buckets = database.read(rows)
    assert buckets == buckets_before
    assert [{name: value for name, value in row.items() if name != "provider"} for row in sums] == sums_before
    assert [row["provider"] for row in sums] == ["openai", "echo", "openai"]
    assert database.read(lambda connection: connection.execute(text("PRAGMA foreign_key_check")).all()) == []
    database.close()


def test_what_comes_later_is_added_to_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    old_database(url)
    database = Database(url)
    stores = Stores(database)
    for number, provider in enumerate(("openai", "openai", "local"), 1):
        generation = paid(number, provider=provider)
        stores.start(generation)
    lines = {line.key[0]: line.sums for line in SqlUsage(database).lines("alice", GroupBy.PROVIDER, None, None)}
    assert {provider: sums.requests for provider, sums in lines.items()} == {"openai": 1 + 2, "echo": 1001, "local": 1}
    assert lines["openai"].cost_usd == Decimal(2**60).scaleb(-12) + 1
    assert sum(lines["openai"].latencies.values()) == 1 + 4 + 41 + 2
    ids = database.read(lambda connection: [row["usage_id"] for row in rows(connection)[0]])
    assert ids == [70, 71, 72, 73]
    database.close()
