"""Histories of earlier versions: what they have is kept, and what they lack is unknown, when the program is updated."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, text

from llm_service.adapters.sql.money import to_pico
from llm_service.adapters.sql.schema import MIGRATIONS
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.adapters.sql.usage import SqlUsage
from llm_service.core.generation.accounting import sums_of
from llm_service.core.generation.model import AnswerWarning, Generation, Status
from llm_service.core.usage.sums import GroupBy, total_of
from llm_service.core.usage.tokens import Usage
from tests.support.builders import MORNING, completed, paid, spared
from tests.support.builders import generation as running
from tests.support.stores import Stores

OUTCOMES = [
    paid(1),
    paid(2, cost_usd=None, latency_ms=0),
    paid(3, status=Status.INCOMPLETE, incomplete_reason="max_output_tokens", latency_ms=119_999),
    paid(4, status=Status.FAILED, usage=Usage(), billed=Usage(), cost_usd=None, error="upstream-error"),
    paid(5, status=Status.CANCELLED, usage=Usage(7), billed=Usage(7), cost_usd=None, error="cancelled"),
    paid(6, status=Status.INTERRUPTED, usage=Usage(), billed=Usage(), cost_usd=None, latency_ms=None),
    paid(7, created_ms=MORNING + 3_600_000, model="other", owner="bob"),
    spared(8),
    spared(9, saved_usd=None),
    spared(10, cached=False, latency_ms=600),
    spared(11, cached=False, status=Status.FAILED, usage=Usage(), saved_usd=Decimal(0)),
    paid(12, status=Status.RUNNING, finished_ms=None, latency_ms=None, usage=Usage(), billed=Usage(), cost_usd=None),
]

PLAIN = {"system_prompt": "", "user_prompt": "x"}
OLD_PROMPTS = {
    "id-1": {"system_prompt": 'Say "é\\n" {{x}}', "user_prompt": "a\r\nb\u2028\t😀"},
    "id-2": {"system_prompt": "only this", "user_prompt": ""},
    "id-3": {"system_prompt": "", "user_prompt": ""},
}


def row_of(generation: Generation) -> dict[str, Any]:
    names = (
        "request_id", "owner", "answer_id", "template_id", "template_revision", "model", "provider", "cached", "snippet",
        "cache_key", "error", "incomplete_reason", "attempts", "latency_ms", "created_ms", "finished_ms",
    )  # fmt: skip
    counts = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens")
    return {
        **{name: getattr(generation, name) for name in names},
        **{name: getattr(generation.usage, name) for name in counts},
        "status": generation.status.value,
        "cost_picousd": to_pico(generation.cost_usd),
        "saved_picousd": to_pico(generation.saved_usd),
    }


def upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def old_database(url: str) -> None:
    with create_engine(url).connect() as connection:
        upgrade_to(connection, "0002")
        connection.execute(text("DELETE FROM generations"))
        answers = Table("answers", MetaData(), autoload_with=connection)
        generations = Table("generations", MetaData(), autoload_with=connection)
        for generation in OUTCOMES:
            texts = {"input": "x", "parameters": "{}", **OLD_PROMPTS.get(generation.request_id, PLAIN)}
            connection.execute(insert(answers), {"answer_id": generation.answer_id, **texts})
            connection.execute(insert(generations), row_of(generation))
        connection.commit()


def test_what_is_there_is_summed_as_it_would_have_been_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    old_database(url)
    database = Database(url)
    lines = SqlUsage(database).lines(None, GroupBy.HOUR, None, None)
    expected = total_of(sums_of(generation) for generation in OUTCOMES if generation.finished_ms is not None)
    assert total_of(line.sums for line in lines) == expected
    assert len(lines) == 2
    bob = SqlUsage(database).lines("bob", GroupBy.MODEL, None, None)
    assert [(line.key, line.sums) for line in bob] == [(("other",), sums_of(OUTCOMES[6]))]
    history = Stores(database)
    for generation in OUTCOMES:
        found = history.get(generation.owner, generation.request_id)
        assert found is not None
        assert found.billed == replace(generation.billed, total_tokens=None)
    database.close()


def test_two_prompts_become_messages(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    old_database(url)
    database = Database(url)
    history = Stores(database)
    for generation in OUTCOMES:
        found = history.get(generation.owner, generation.request_id)
        assert found is not None
        was = OLD_PROMPTS.get(generation.request_id, PLAIN)
        assert (found.system_prompt, found.user_prompt) == (was["system_prompt"], was["user_prompt"])
        roles = [message.role.value for message in found.messages]
        assert roles == ["system"] * bool(was["system_prompt"]) + ["user"] * any(was.values())
    database.close()


def test_rows_from_before_warnings_have_none_and_do_not_know_what_was_unreported(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    with create_engine(url).connect() as connection:
        upgrade_to(connection, "0008")
        for table, rows in (
            ("answers", [{"answer_id": f"id-{number}", "input": "x", "parameters": "{}"} for number in (1, 2)]),
            ("generations", [row_of(paid(1)), row_of(running(2))]),
        ):
            connection.execute(insert(Table(table, MetaData(), autoload_with=connection)), rows)
        connection.commit()
    database = Database(url)
    history = Stores(database)
    over = history.get("alice", "id-1")
    assert over is not None
    assert (over.status, over.warnings, over.unreported) == (Status.COMPLETED, (), None)
    # What ran while the program was updated is stored with all that is known now.
    warnings = (AnswerWarning("input-truncated", "half"),)
    done = completed(running(2), warnings=warnings, unreported=1)
    assert history.finish(done)
    found = history.get("alice", "id-2")
    assert found is not None
    assert (found.warnings, found.unreported) == (warnings, 1)
    database.close()
