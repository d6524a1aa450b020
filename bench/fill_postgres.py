"""Fills a PostgreSQL database with the same month of generations as bench.fill, without the sums of the usage.

.venv/bin/python -m bench.fill_postgres URL ROWS
"""

import sys
import time
from itertools import islice

import psycopg

from bench.fill import BATCH, TARGETS, Month
from llm_service.adapters.sql.postgres import full_text
from llm_service.adapters.sql.postgres.database import migrate

BOOLEANS = {"cached"}
STAGED = "CREATE UNLOGGED TABLE staged (document bigint, words text, lexemes text)"
INDEX = """
INSERT INTO search_documents (document, part, words, vector)
SELECT document, 0, words, array_to_tsvector(string_to_array(lexemes, ' ')) FROM staged
"""


def fill(url: str, count: int) -> None:
    """The database must be empty. If this is killed, it is unusable."""
    migrate(url)
    rows = Month(count).rows()
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = off")
        index = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_search_documents_vector'"
        ).fetchone()
        assert index is not None
        connection.execute("DROP INDEX ix_search_documents_vector")
        connection.execute(STAGED)
        while batch := list(islice(rows, BATCH)):
            for name in ("answers", "generations"):
                columns = TARGETS[name]
                with connection.cursor().copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
                    for target, row in batch:
                        if target == name:
                            copy.write_row(_typed(columns, row))
            with connection.cursor().copy("COPY staged FROM STDIN") as copy:
                for target, row in batch:
                    if target == "search_index":
                        copy.write_row(_searched(*row))
        connection.execute(INDEX)
        connection.execute("DROP TABLE staged")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(index[0])
        connection.execute("SELECT setval(pg_get_serial_sequence('generations', 'position'), %s)", (count,))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _typed(columns: tuple[str, ...], row: tuple[object, ...]) -> list[object]:
    return [bool(value) if name in BOOLEANS else value for name, value in zip(columns, row, strict=True)]


def _searched(document: int, owner: str, asked: str, answer: str) -> tuple[object, ...]:
    words = [asked.split(), answer.split()]
    (lexemes,) = full_text.lexemes_of(document, bytes.fromhex(owner).decode(), *words)
    return document, full_text.text_of(*words), " ".join(lexemes)


def main() -> None:
    started = time.monotonic()
    fill(sys.argv[1], int(sys.argv[2]))
    with psycopg.connect(sys.argv[1]) as connection:
        sizes = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) / 1048576, pg_indexes_size(oid) / 1048576 FROM pg_class"
            " WHERE relname IN ('answers', 'generations', 'search_documents')"
        ).fetchall()
    print(f"{int(sys.argv[2]):,} rows, {time.monotonic() - started:.0f} s; MiB with indexes, of indexes: {sizes}")


if __name__ == "__main__":
    main()
