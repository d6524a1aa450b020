"""Fills a database with a month of generations of 2 kB each, with common words and a rare one.

.venv/bin/python -m bench.fill PATH ROWS
"""

import importlib
import json
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from llm_service.adapters.runtime.clock import uuid7
from llm_service.adapters.sql.sqlite import full_text as search
from llm_service.adapters.sql.sqlite.database import Database, migrate
from llm_service.adapters.sql.tables import usage_hours, usage_latencies
from llm_service.core.generation.model import snippet_of
from llm_service.core.history.search import words_of
from llm_service.core.usage.sums import bucket_of

OWNERS = (("local", 80), ("ci", 20))
TEMPLATES = (("basic_chat_v1", 50), ("summarize_v1", 30), ("translate_v1", 15), ("review_v2", 4), ("old_v1", 1))
MODELS = (("gpt-4o-mini", 70), ("gpt-4o", 20), ("o3", 9), ("qwen3", 1))
STATES = (("completed", 94), ("failed", 3), ("incomplete", 2), ("cancelled", 1))
RARE_WORD, RARE_ROWS = "xylograph", 20
COMMON_WORD, COMMON_SHARE = "report", 0.3
HIT_SHARE = 0.3
MONTH_MS = 30 * 24 * 3600 * 1000
BATCH = 5000
TARGETS = {
    "answers": ("answer_id", "input", "parameters", "messages", "output", "document"),
    "generations": (
        "position", "request_id", "owner", "answer_id", "template_id", "template_revision", "model", "provider", "status",
        "cached", "snippet", "cache_key", "input_tokens", "output_tokens", "total_tokens", "attempts", "latency_ms",
        "created_ms", "finished_ms", "document",
    ),
    "search_index": ("rowid", "owner", "input", "output"),
}  # fmt: skip


class Month:
    """Rows for the three tables, the same on every run except for ids and times."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.dice = random.Random(20261123)
        self.begin_ms = time.time_ns() // 1_000_000 - MONTH_MS
        self.phrases = self._phrases()
        self.recent: list[tuple[Any, ...]] = []

    def rows(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        rare = {self.count * number // RARE_ROWS + 1 for number in range(RARE_ROWS)}
        for position in range(1, self.count + 1):
            if self.recent and position not in rare and self.dice.random() < HIT_SHARE:
                yield "generations", self._hit(position)
            else:
                yield from self._made(position, RARE_WORD if position in rare else "")

    def _made(self, position: int, extra: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        request_id, owner = uuid7(), self._one_of(OWNERS)
        if self.dice.random() < COMMON_SHARE:
            extra += f" {COMMON_WORD}"
        asked = " ".join(self.dice.choices(self.phrases, k=6))
        answer = f"{' '.join(self.dice.choices(self.phrases, k=25))} {extra}"
        yield "answers", (request_id, asked, "{}", messages(asked), answer, position)
        word = search.owner_word(owner)
        yield "search_index", (position, word, " ".join(words_of(asked)), " ".join(words_of(answer)))
        created_ms = self.begin_ms + MONTH_MS * position // self.count
        row = (
            position, request_id, owner, request_id, self._one_of(TEMPLATES), "0123456789ab", self._one_of(MODELS), "openai",
            self._one_of(STATES), 0, snippet_of(asked), f"{position:064x}", 90, 400, 490, 1, 2000, created_ms,
            created_ms + 2000, position,
        )  # fmt: skip
        self.recent = [*self.recent[-500:], row]
        yield "generations", row

    def _hit(self, position: int) -> tuple[Any, ...]:
        row = dict(zip(TARGETS["generations"], self.dice.choice(self.recent), strict=True))
        created_ms = self.begin_ms + MONTH_MS * position // self.count
        changes = {"position": position, "request_id": uuid7(), "cached": 1, "attempts": 0, "created_ms": created_ms}
        return tuple({**row, **changes, "status": "completed", "finished_ms": created_ms}.values())

    def _one_of(self, shares: tuple[tuple[str, int], ...]) -> str:
        return self.dice.choices([name for name, _ in shares], [share for _, share in shares])[0]

    def _phrases(self) -> list[str]:
        """Ten words each, from 30,000 whose frequencies follow Zipf's law, as in a language."""
        letters = "etaoinshrdlu"
        words = ["".join(self.dice.choices(letters, k=self.dice.randint(2, 11))) for _ in range(30_000)]
        weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
        return [" ".join(self.dice.choices(words, cum_weights=weights, k=10)) for _ in range(20_000)]


def messages(asked: str) -> str:
    """The prompt, as the service stores it."""
    texts = (("system", "You are helpful."), ("user", asked))
    return json.dumps([{"role": role, "parts": [{"type": "text", "text": text}]} for role, text in texts])


def fill(path: Path, count: int) -> None:
    """Creates the file. If it is killed, the file is unusable."""
    migrate(f"sqlite:///{path}")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    statements = {
        name: f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for name, columns in TARGETS.items()
    }
    rows = Month(count).rows()
    while batch := list(islice(rows, BATCH)):
        connection.execute("BEGIN")
        for name, statement in statements.items():
            connection.executemany(statement, [row for target, row in batch if target == name])
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    sum_usage(f"sqlite:///{path}")


def sum_usage(url: str) -> None:
    """The sums of all rows, with the SQL of the migration that adds them. Since then they are by provider, too."""
    migration = importlib.import_module("llm_service.adapters.sql.migrations.versions.0004_usage")
    now = ", ".join((*migration.KEY, "provider"))
    sums, latencies = (
        query.replace("template_revision, model", "template_revision, model, provider")
        for query in (migration._SUMS, migration._LATENCIES)
    )
    database = Database(url)

    def work(connection: Connection) -> None:
        connection.execute(text(f"INSERT INTO {usage_hours.name} ({now}, {', '.join(migration.SUMMED)}) {sums}"))
        counted: Counter[tuple[int, int]] = Counter()
        for usage_id, latency_ms, count in connection.execute(text(latencies)):
            counted[usage_id, bucket_of(latency_ms)] += count
        rows = [{"usage_id": usage_id, "bucket": bucket, "answers": n} for (usage_id, bucket), n in counted.items()]
        connection.execute(usage_latencies.insert(), rows)

    database.write(work)
    database.close()


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    started = time.monotonic()
    fill(path, count)
    print(f"{count:,} rows, {path.stat().st_size / 2**20:,.0f} MiB, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
