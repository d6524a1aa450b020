"""What goes wrong with the SQLite file, on real files: locks, full and read-only disks, damage, and what is kept aside.

Longer than other modules: each fault needs a file or a disk of its own to be made first.
"""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.adapters.sql.sqlite.database import Database, migrate
from llm_service.adapters.sql.sqlite.file_system import type_at
from llm_service.app import services_of
from llm_service.core.errors import StorageBusy
from llm_service.core.generation.model import Generation
from llm_service.core.generation.outcomes import Kept, OutcomeRecorder
from llm_service.core.generation.registry import STOPPING_PATIENCE_S
from tests.support.builders import completed, generation
from tests.support.calls import ask, get, provider
from tests.support.clocks import until
from tests.support.command_line import flask
from tests.support.constants import ROOT
from tests.support.fakes import RecordingReporter, no_bills
from tests.support.locks import LockWaits, locked
from tests.support.processes import serving
from tests.support.requests import BODY, GENERATE
from tests.support.stores import Stores
from tests.support.upstream import Upstream

HISTORY = "/api/v1/history"
MakeApp = Callable[..., Flask]


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        message = "a small disk can be mounted only as root with CAP_SYS_ADMIN"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_said_before_anything_is_paid_and_reading_goes_on(
    make_app: MakeApp, small_disk: Path, upstream: Upstream
) -> None:
    app = make_app(
        DATABASE_URL=f"sqlite:///{small_disk}/h.db", OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal"
    )
    client = app.test_client()
    stored = client.post(GENERATE, json=BODY).get_json()
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(b"x" * 100 * 2**20)
    calls = len(upstream.calls)
    response = client.post(GENERATE, json={**BODY, "input": "x" * 4000})
    assert (response.status_code, response.get_json()["error"]) == (503, "storage-full")
    assert response.headers["Retry-After"] == "60"
    assert len(upstream.calls) == calls
    assert client.get(f"{HISTORY}/{stored['request_id']}").get_json()["output"] == stored["output"]
    assert client.get("/api/v1/ready").status_code == 503
    (small_disk / "filler").unlink()
    assert client.post(GENERATE, json={**BODY, "input": "again"}).status_code == 200


def test_a_nearly_full_disk_is_said_before_anything_is_paid(
    make_app: MakeApp, small_disk: Path, upstream: Upstream
) -> None:
    """Less than 64 MiB are free: SQLite could still write, but perhaps not what comes back."""
    app = make_app(
        DATABASE_URL=f"sqlite:///{small_disk}/h.db", OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal"
    )
    client = app.test_client()
    stored = client.post(GENERATE, json=BODY).get_json()
    (small_disk / "filler").write_bytes(b"x" * 30 * 2**20)
    refresh = {"Cache-Control": "no-store"}
    until(lambda: client.post(GENERATE, json=BODY, headers=refresh).status_code == 503)
    before = len(upstream.calls)
    for stream in (False, True):
        response = client.post(GENERATE, json={**BODY, "input": "another", "stream": stream})
        assert (response.status_code, response.get_json()["error"]) == (503, "storage-full")
    assert len(upstream.calls) == before
    again = client.post(GENERATE, json=BODY)
    assert (again.status_code, again.get_json()["cached"]) == (200, True), "that costs nothing"
    assert client.get(f"{HISTORY}/{stored['request_id']}").status_code == 200
    (small_disk / "filler").unlink()
    assert client.post(GENERATE, json={**BODY, "input": "again"}).status_code == 200


def test_a_read_only_disk_stops_the_start_with_path_and_owner(tmp_path: Path, small_disk: Path) -> None:
    migrate(f"sqlite:///{small_disk}/h.db")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = flask(tmp_path, "db", "upgrade", DATABASE_URL=f"sqlite:///{small_disk}/h.db")
    assert done.returncode == 1
    assert f"{small_disk}/h.db" in done.stderr
    assert "belongs to root" in done.stderr


def test_a_file_that_turns_read_only_refuses_generations_and_is_read(make_app: MakeApp, tmp_path: Path) -> None:
    """As SQLite sees it when the file was replaced under it."""
    app = make_app()
    client = app.test_client()
    stored = client.post(GENERATE, json=BODY).get_json()
    database: Any = services_of(app).storage
    database._writing.exec_driver_sql("PRAGMA query_only=ON")
    response = client.post(GENERATE, json={**BODY, "input": "new"})
    assert (response.status_code, response.get_json()["error"]) == (503, "storage-unavailable")
    assert client.get(f"{HISTORY}/{stored['request_id']}").status_code == 200


@pytest.mark.parametrize("damage", ["no database", "damaged"])
def test_a_damaged_file_is_kept_and_the_way_back_is_said(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "h.db"
    if damage == "damaged":
        migrate(f"sqlite:///{path}")
        content = path.read_bytes()
        path.write_bytes(content[:100] + os.urandom(8000) + content[8100:])
    else:
        path.write_bytes(b"my notes " * 1000)
    before = path.read_bytes()
    done = flask(tmp_path, "db", "upgrade", DATABASE_URL=f"sqlite:///{path}")
    assert (done.returncode, f"cp BACKUP {path}" in done.stderr, "not changed" in done.stderr) == (1, True, True)
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    migrate(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_compatibility SET since = '9999'")
    connection.close()
    done = flask(tmp_path, "db", "upgrade", DATABASE_URL=f"sqlite:///{path}")
    assert (done.returncode, "newer" in done.stderr, "flask db upgrade" in done.stderr) == (1, True, True)


MOUNTS = """overlay / overlay rw 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
//nas/share /mnt/with\\040space cifs rw 0 0
/dev/sdb /mnt/nfs/local ext4 rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/h.db", "overlay"), ("/mnt/nfs/h.db", "nfs4"), ("/mnt/nfsx/h.db", "overlay"), ("/mnt/nfs/local/h.db", "ext4"),
     ("/mnt/with space/h.db", "cifs")],
)  # fmt: skip
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert type_at(Path(path), MOUNTS) == kind
    assert type_at(Path(path), "") is None


def test_a_lock_that_is_held_too_long_is_busy_for_all_and_costs_nothing(
    make_app: MakeApp, tmp_path: Path, upstream: Upstream
) -> None:
    """Twelve requests and the readiness check wait together. Counted in the seconds that SQLite may wait."""
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal")
    calls, answers = len(upstream.calls), list[TestResponse]()
    storage: Any = services_of(app).storage
    driver = storage._writing.connection.driver_connection

    def post(number: int) -> None:
        answers.append(app.test_client().post(GENERATE, json={**BODY, "input": f"Question {number}"}))

    def ready() -> None:
        checks.append(app.test_client().get("/api/v1/ready"))

    checks: list[TestResponse] = []
    with locked(tmp_path / "test.db"):
        waits = LockWaits(driver)
        threads = [threading.Thread(target=post, args=(number,)) for number in range(12)]
        threads.append(threading.Thread(target=ready))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        waits.close()
    seen = {(answer.status_code, answer.get_json()["error"], answer.headers["Retry-After"]) for answer in answers}
    assert (len(answers), seen) == (12, {(503, "storage-busy", "1")})
    assert [check.status_code for check in checks] == [503]
    assert waits.waited_s <= 30, "one by one it is a minute and more"
    assert len(upstream.calls) == calls
    assert app.test_client().post(GENERATE, json=BODY).status_code == 200


def test_where_nothing_is_kept_a_call_begins_while_the_database_is_locked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/h.db")
    store = Stores(database, "off").generations
    with locked(tmp_path / "h.db"):
        assert store.record_started(generation(1)) == store.get("alice", "id-1") == generation(1)
    database.close()


@pytest.mark.parametrize("kept", ["on", "off"])
@pytest.mark.parametrize(("stops", "at_most_s"), [(False, 4), (True, 1)])
def test_an_outcome_waits_a_bounded_time_for_a_lock(tmp_path: Path, kept: str, stops: bool, at_most_s: float) -> None:
    """All its attempts together. Counted in the seconds that SQLite may wait, and some pauses."""
    database = Database(f"sqlite:///{tmp_path}/h.db")
    store, spool = Stores(database, kept).generations, FileSpool(tmp_path / "h.spool")
    recorder = OutcomeRecorder(store, spool, SystemClock(), RecordingReporter())
    store.record_started(generation(1))
    driver: Any = database._writing.connection.driver_connection
    with locked(tmp_path / "h.db"):
        waits = LockWaits(driver)
        stops_at = time.monotonic() + STOPPING_PATIENCE_S if stops else None
        assert recorder.finish(completed(generation(1)), stops_at=stops_at) is Kept.SPOOLED
        finished_s = waits.waited_s
        with pytest.raises(StorageBusy):
            recorder.replay()
        waits.close()
        assert "id-1" in (tmp_path / "h.spool").read_text()
    assert 0 < finished_s <= at_most_s
    assert 0 < waits.waited_s - finished_s <= 1, "meanwhile nothing else can be spooled"
    recorder.replay()
    database.close()
    assert (tmp_path / "h.spool").read_bytes() == b""


def entry_status(server: object, request_id: str) -> str | None:
    try:
        return str(get(server, f"history/{request_id}")["status"])  # type: ignore[arg-type]
    except OSError:
        return None


@pytest.mark.parametrize("killed", [False, True], ids=["released", "killed between"])
def test_a_paid_answer_is_kept_aside_and_comes_into_the_history(
    tmp_path: Path, upstream: Upstream, killed: bool
) -> None:
    settings = provider(upstream, "slow-1")
    results: list[tuple[int, dict[str, object]]] = []
    spool = tmp_path / "service.db.spool"
    with serving(tmp_path, **settings) as server:
        asking = threading.Thread(target=lambda: results.append(ask(server, model="slow-1", input="Paid for")))
        asking.start()
        until(lambda: get(server, "history")["items"])
        with locked(tmp_path / "service.db"):
            asking.join(30)
            status, problem = results[0]
            assert (status, problem["error"]) == (503, "storage-unavailable")
            assert "Paid for" in spool.read_text()
            assert oct(spool.stat().st_mode & 0o777) == "0o600"
            if killed:
                for pid in [*server.workers(), server.process.pid]:
                    os.kill(pid, 9)
                server.process.wait()
        request_id = str(problem["request_id"])
        if not killed:
            until(lambda: entry_status(server, request_id) == "completed")
    with serving(tmp_path, **settings) as server:
        entry = get(server, f"history/{request_id}")
        assert (entry["status"], entry["output"]) == ("completed", "Answer to: Paid for")
        assert [item["request_id"] for item in get(server, "history?q=paid")["items"]] == [request_id]
    assert spool.read_bytes() == b""


def test_what_is_kept_aside_comes_back_as_it_was(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "h.spool")
    kept = [completed(generation(number, input="é\n\u2028😀"), output="x\ny") for number in range(3)]
    for outcome in kept:
        spool.add(outcome)
    with (tmp_path / "h.spool").open("ab") as file:
        file.write(b'{"request_id": "half a li')
    found: list[Generation] = []

    def failing(outcome: Generation) -> None:
        if len(found) == 1:
            raise StorageBusy("away")
        found.append(outcome)

    with pytest.raises(StorageBusy):
        spool.replay(failing, no_bills)
    spool.replay(found.append, no_bills)
    assert found == kept, "each of them once"
    found.clear()
    spool.replay(found.append, no_bills)
    assert found == []


# As the version before the history kept message lists wrote it.
OLD_LINE = (
    b'{"request_id": "id-1", "template_id": "t_v1", "template_revision": "abc", "model": "m", "status": "completed", '
    b'"cached": false, "snippet": "hi", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, '
    b'"cached_input_tokens": 0, "reasoning_tokens": 0}, "cost_usd": "0.000001", "saved_usd": null, "latency_ms": 5, '
    b'"created_ms": 1790000000000, "owner": "local", "answer_id": "id-1", "provider": "echo", "input": "hi", '
    b'"parameters": {}, "prompts": {"system": "%s", "user": "%s"}, "output": "PAID ANSWER", "structured": false, '
    b'"incomplete_reason": null, "cache_key": "", "billed": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, '
    b'"cached_input_tokens": 0, "reasoning_tokens": 0}, "price_version": null, "attempts": 1, "unreported": 0, '
    b'"upstream_request_id": null, "finished_ms": 1790000000005, "match": null}\n'
)


@pytest.mark.parametrize(("system", "user"), [(b"sys", b"hi"), (b"", b"hi"), (b"sys", b""), (b"", b"")])
def test_what_the_version_before_kept_aside_comes_into_the_history(tmp_path: Path, system: bytes, user: bytes) -> None:
    path = tmp_path / "h.spool"
    path.write_bytes(OLD_LINE % (system, user))
    found: list[Generation] = []
    assert FileSpool(path).replay(found.append, no_bills) == []
    (outcome,) = found
    assert (outcome.output, outcome.status, outcome.cost_usd) == ("PAID ANSWER", "completed", Decimal("0.000001"))
    assert (outcome.system_prompt, outcome.user_prompt) == (system.decode(), user.decode())
    assert [message.role.value for message in outcome.messages] == ["system"] * bool(system) + ["user"] * bool(
        system or user
    )


def test_what_cannot_be_read_is_put_away_and_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "h.spool"
    path.write_bytes(b'{"request_id": "from another version"}\nhalf a li')
    spool = FileSpool(path)
    kept = [completed(generation(number)) for number in range(2)]
    for outcome in kept:
        spool.add(outcome)
    found: list[Generation] = []
    assert [type(fault).__name__ for fault in spool.replay(found.append, no_bills)] == ["KeyError", "JSONDecodeError"]
    assert (found, path.read_bytes()) == (kept, b"")
    bad = tmp_path / "h.spool.bad"
    put_aside = [line.split(b"\t")[1] for line in bad.read_bytes().splitlines()]
    assert put_aside == [b'{"request_id": "from another version"}', b"half a li"]
    assert oct(bad.stat().st_mode & 0o777) == "0o600"


def test_a_line_that_does_not_fit_is_not_kept_by_half(tmp_path: Path) -> None:
    """A limit of the process stands for a full disk; it is set in a process of its own."""
    program = f"""
import resource, signal
from pathlib import Path
from llm_service.adapters.files.spool import FileSpool
from tests.support.builders import completed, generation
spool = FileSpool(Path({str(tmp_path / "h.spool")!r}))
spool.add(completed(generation(1)))
size = Path({str(tmp_path / "h.spool")!r}).stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
try:
    spool.add(completed(generation(2)))
except OSError as error:
    print(type(error).__name__)
found = []
assert not spool.replay(found.append, print)
print([row.request_id for row in found])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("OSError\n['id-1']\n", "")


def test_what_is_spooled_together_and_does_not_fit_is_kept_as_far_as_it_fits(tmp_path: Path) -> None:
    """As above, with greenlets that add at the same time."""
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent, resource, signal
from pathlib import Path
from llm_service.adapters.files.spool import FileSpool
from tests.support.builders import completed, generation
path = Path({str(tmp_path / "h.spool")!r})
spool = FileSpool(path)
spool.add(completed(generation(1)))
size = path.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 * size + 100, 3 * size + 100))
def add(number):
    try:
        spool.add(completed(generation(number)))
    except OSError as error:
        return type(error).__name__
added = [gevent.spawn(add, number) for number in (2, 3, 4)]
gevent.joinall(added)
print([each.value for each in added])
found = []
assert not spool.replay(found.append, print)
print([row.request_id for row in found])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[None, None, 'OSError']\n['id-1', 'id-2', 'id-3']\n", "")


def test_what_could_not_be_spooled_does_not_come_later(tmp_path: Path) -> None:
    """Whoever added it was told that it is lost, and may have stored it since."""
    path = tmp_path / "h.spool"
    path.mkdir()
    spool = FileSpool(path)
    with pytest.raises(IsADirectoryError):
        spool.add(completed(generation(1)))
    path.rmdir()
    spool.add(completed(generation(2)))
    found: list[Generation] = []
    assert not spool.replay(found.append, no_bills)
    assert [row.request_id for row in found] == ["id-2"]


def test_a_service_starts_with_a_damaged_spool(tmp_path: Path) -> None:
    (tmp_path / "service.db.spool").write_bytes(b"half a li\n")
    with serving(tmp_path) as server:
        assert get(server, "history")["items"] == []
    assert (tmp_path / "service.db.spool").read_bytes() == b""


def test_deleting_much_holds_no_writer_up(tmp_path: Path) -> None:
    from tests.support.stores import Stores

    store = Stores(Database(f"sqlite:///{tmp_path}/h.db"))
    for number in range(2000):
        store.start(generation(number))
    written = count()
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            store.start(generation(10_000 + next(written), owner="bob"))

    writer = threading.Thread(target=write)
    writer.start()
    before = next(written)
    assert store.delete_all("alice") == 2000
    meanwhile = next(written) - before
    over.set()
    writer.join()
    store.close()
    assert meanwhile > 5, "the writer has its turn between the twenty steps"
