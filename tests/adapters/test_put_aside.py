"""What the spool put aside: kept for the operator, within bounds, and not after its owner deleted it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from llm_service.adapters.files.put_aside import PutAside
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.app import services_of
from llm_service.core.generation.model import Generation
from tests.support.builders import completed, generation
from tests.support.constants import ROOT
from tests.support.effort import MAX_GROWTH, growth
from tests.support.fakes import no_bills
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
    assert len(spool.replay(refuse, no_bills)) == len(rows) + raw.count(b"\n")


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
        aside.add([json.dumps({"owner": "alice", "request_id": f"id-{number}", "output": "x" * 1000}).encode()])
    kept = (tmp_path / "h.bad").read_bytes()
    assert [number for number in range(10) if f"id-{number}".encode() in kept] == [6, 7, 8, 9]
    aside.add([b"z" * 4800])
    assert b"z" * 4800 in (tmp_path / "h.bad").read_bytes(), "what fits is kept"
    aside.add([b"y" * 5001])
    assert not aside.exists, "and what is larger than all is not kept"


def test_twice_the_bad_lines_take_twice_the_time(tmp_path: Path) -> None:
    path = tmp_path / "h.spool"

    def work(size: int) -> Callable[[], object]:
        def replay() -> None:
            (tmp_path / "h.spool.bad").unlink(missing_ok=True)
            path.write_bytes(b'{"request_id": "from another version"}\n' * size * 4)
            assert len(FileSpool(path).replay(refuse, no_bills)) == size * 4

        return replay

    assert growth(work, largest=10_000) <= MAX_GROWTH


@pytest.mark.parametrize("bound", [10_000, 50])
def test_one_after_the_other_takes_as_long_each_time(tmp_path: Path, bound: int) -> None:
    """Also while the oldest are removed. `bound`: in bytes per line."""
    bad = tmp_path / "h.bad"

    def work(size: int) -> Callable[[], object]:
        def add() -> None:
            bad.unlink(missing_ok=True)
            aside = PutAside(bad, max_bytes=bound * size)
            for _ in range(size):
                aside.add([b'{"request_id": "from another version"}'])
            assert bad.stat().st_size <= bound * size

        return add

    assert growth(work, largest=10_000) <= MAX_GROWTH


def test_what_cannot_be_put_aside_stays_and_holds_nothing_up(tmp_path: Path) -> None:
    path, bad = tmp_path / "h.spool", tmp_path / "h.spool.bad"
    bad.mkdir()
    spool = FileSpool(path)
    good = [completed(generation(number)) for number in range(3)]
    found: list[Generation] = []
    for row in good[:2]:
        with path.open("ab") as file:
            file.write(b"BAD-%s\n" % row.request_id.encode())
        spool.add(row)
    assert [type(fault).__name__ for fault in spool.replay(found.append, no_bills)] == ["IsADirectoryError"]
    assert found == good[:2]
    size = path.stat().st_size
    for _ in range(3):
        spool.add(good[2])
        spool.replay(found.append, no_bills)
        assert path.stat().st_size == size, "what is stored does not make it grow"
    assert found == [*good, *good[2:] * 2], "none is stored again"
    bad.rmdir()
    assert [type(fault).__name__ for fault in spool.replay(found.append, no_bills)] == ["JSONDecodeError"] * 2
    assert [line.split(b"\t")[1] for line in bad.read_bytes().splitlines()] == [b"BAD-id-0", b"BAD-id-1"]
    assert path.read_bytes() == b""


def test_a_line_too_deep_to_be_read_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "h.spool"
    path.write_bytes(b"[" * 100_000 + b"\n")
    spool = FileSpool(path)
    spool.add(completed(generation(1)))
    found: list[Generation] = []
    assert [type(fault).__name__ for fault in spool.replay(found.append, no_bills)] == ["RecursionError"]
    assert [row.request_id for row in found] == ["id-1"]
    assert (tmp_path / "h.spool.bad").stat().st_size > 100_000


def test_others_run_between_the_lines(tmp_path: Path) -> None:
    """In a process whose functions are those of gevent, as in a worker."""
    program = f"""
from gevent import monkey
monkey.patch_all()
import gevent
from pathlib import Path
from llm_service.adapters.files.spool import FileSpool
path = Path({str(tmp_path / "h.spool")!r})
path.write_bytes(b"bad\\n" * 100)
turns = []
def other():
    while True:
        turns.append(1)
        gevent.sleep(0)
running = gevent.spawn(other)
assert len(FileSpool(path).replay(print, print)) == 100
running.kill()
assert len(turns) >= 100, len(turns)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_lines_of_the_version_before_keep_their_age_when_others_follow(tmp_path: Path) -> None:
    bad = tmp_path / "h.spool.bad"
    bad.write_bytes(b'{"output": "HALF\n')
    os.utime(bad, (NOW_MS / 1000 - 86_400, NOW_MS / 1000 - 86_400))
    put_aside(tmp_path / "h.spool", completed(generation(2, created_ms=NOW_MS), output="SECRET-B"))
    FileSpool(tmp_path / "h.spool").prune(NOW_MS - DAY_MS // 2)
    assert texts_in(bad) == ["SECRET-B"]


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
