"""What the spool put aside: kept for the operator, within bounds, and not after its owner deleted it."""

import json
import os
import time
from pathlib import Path

import pytest
from flask import Flask

from llm_service.adapters.files.put_aside import PutAside
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.app import services_of
from llm_service.core.generation.model import Generation
from tests.support.builders import completed, generation
from tests.support.stores import Stores

DAY_MS = 24 * 3_600_000
NOW_MS = round(time.time() * 1000)


def refuse(row: Generation) -> None:
    raise ValueError("a row that the store does not take")


def put_aside(path: Path, *rows: Generation, raw: bytes = b"") -> None:
    spool = FileSpool(path)
    for row in rows:
        spool.add(row)
    with path.open("ab") as file:
        file.write(raw)
    assert len(spool.replay(refuse)) == len(rows) + raw.count(b"\n")


def texts_in(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [word for word in ("SECRET-A", "SECRET-B", "SECRET-C", "HALF") if word.encode() in path.read_bytes()]


@pytest.fixture(name="paths")
def _paths(tmp_path: Path) -> tuple[Path, Path]:
    spool, bad = tmp_path / "h.spool", tmp_path / "h.spool.bad"
    rows = [
        completed(generation(1, created_ms=NOW_MS - 40 * DAY_MS), output="SECRET-A"),
        completed(generation(2, created_ms=NOW_MS), output="SECRET-B"),
        completed(generation(3, "bob", created_ms=NOW_MS), output="SECRET-C"),
    ]
    put_aside(spool, *rows, raw=b'{"request_id": "id-9", "output": "HALF\n')
    assert texts_in(bad) == ["SECRET-A", "SECRET-B", "SECRET-C", "HALF"]
    assert oct(bad.stat().st_mode & 0o777) == "0o600"
    return spool, bad


def test_no_text_is_kept_longer_than_the_history(paths: tuple[Path, Path]) -> None:
    spool, bad = paths
    FileSpool(spool).prune(NOW_MS - 30 * DAY_MS)
    assert texts_in(bad) == ["SECRET-B", "SECRET-C", "HALF"]
    FileSpool(spool).prune(NOW_MS + DAY_MS)
    assert not bad.exists()


def test_an_owner_who_deletes_the_history_leaves_nothing_there(paths: tuple[Path, Path]) -> None:
    """Not even what may be theirs."""
    spool, bad = paths
    FileSpool(spool).forget("alice")
    assert texts_in(bad) == ["SECRET-C"]


def test_a_deleted_generation_is_not_there(paths: tuple[Path, Path]) -> None:
    spool, bad = paths
    FileSpool(spool).forget("alice", "id-2")
    FileSpool(spool).forget("alice", "id-9")
    FileSpool(spool).forget("alice", "id-3")
    assert texts_in(bad) == ["SECRET-A", "SECRET-C"]


def test_it_is_bounded_in_size_and_the_oldest_goes_first(tmp_path: Path) -> None:
    aside = PutAside(tmp_path / "h.bad", max_bytes=5000)
    for number in range(10):
        aside.add(json.dumps({"owner": "alice", "request_id": f"id-{number}", "output": "x" * 1000}).encode())
    kept = (tmp_path / "h.bad").read_bytes()
    assert [number for number in range(10) if f"id-{number}".encode() in kept] == [6, 7, 8, 9]
    aside.add(b"y" * 5001)
    assert not aside.exists, "and what is larger than all is not kept"


def test_what_the_version_before_put_aside_ages_too(tmp_path: Path) -> None:
    bad = tmp_path / "h.spool.bad"
    bad.write_bytes(b'{"owner": "alice", "created_ms": 5, "output": "SECRET-A"}\n{"output": "HALF\n')
    os.utime(bad, (NOW_MS / 1000 - 86_400, NOW_MS / 1000 - 86_400))
    spool = FileSpool(tmp_path / "h.spool")
    spool.prune(NOW_MS - 2 * DAY_MS)
    assert texts_in(bad) == ["HALF"]
    spool.prune(NOW_MS)
    assert texts_in(bad) == []


@pytest.mark.parametrize("all_of_them", [True, False])
def test_deletion_in_the_api_reaches_it(app: Flask, tmp_path: Path, all_of_them: bool) -> None:
    services_of(app)
    store = Stores(Database(f"sqlite:///{tmp_path}/test.db"))
    store.start(completed(generation(2, "local")))
    store.close()
    bad = tmp_path / "test.db.spool.bad"
    put_aside(tmp_path / "test.db.spool", completed(generation(2, "local", created_ms=NOW_MS), output="SECRET-B"))
    assert texts_in(bad) == ["SECRET-B"]
    address = "/api/v1/history" if all_of_them else "/api/v1/history/id-2"
    assert app.test_client().delete(address).status_code in (200, 204)
    assert texts_in(bad) == []
