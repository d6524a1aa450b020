"""The SQLite file: durable, migrated, grouped, and never damaged by us.

Longer than other modules: its tests of the group writer open the same kind of file and hold its lock.
"""

import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.schema import MIGRATIONS, REVISIONS
from llm_service.adapters.sql.sqlite.database import Database, migrate
from llm_service.adapters.sql.tables import metadata
from llm_service.core.errors import StorageBusy, StorageUnavailable
from tests.support.builders import completed, generation
from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.locks import LockWaits
from tests.support.stores import Stores


@pytest.fixture(name="url")
def _url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/deep/folder/history.db"


def test_migrations_lead_to_the_tables(url: str) -> None:
    assert migrate(url) is True
    assert migrate(url) is False
    database = Database(url)
    # The search index is SQLite's own kind of table.
    known = {"include_name": lambda name, kind, _: kind != "table" or not name.startswith("search_index")}
    difference = database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection, opts=known), metadata)
    )
    database.close()
    assert difference == []


def test_the_list_of_revisions_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1] == list(REVISIONS)


def test_many_processes_may_migrate_at_once(url: str) -> None:
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(migrate(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_the_connections_are_durable_and_careful(url: str) -> None:
    database = Database(url)

    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in names}

    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert database.write(pragmas) == expected
    assert database.write(pragmas, durable=False, short=True) == {**expected, "synchronous": 1}
    assert database.write(pragmas) == expected
    assert database.read(pragmas) == expected
    with pytest.raises(StorageUnavailable):
        database.read(lambda connection: connection.execute(text("DELETE FROM answers")))
    database.close()


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"these are my notes, not a database at all\n" * 50)
    before = path.read_bytes()
    with pytest.raises(DatabaseFault, match="not changed"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseFault, match="cannot be used"):
        Database(f"sqlite:///{tmp_path}/file/h.db")


def test_writes_share_commits_and_one_failure_is_nobody_elses(url: str) -> None:
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    failed: list[int] = []
    # All of them arrive during the first write, so that they can share.
    first, arrive, commits = threading.Event(), threading.Event(), list[str]()
    driver: Any = database._writing.connection.driver_connection
    driver.set_trace_callback(lambda statement: commits.append(statement) if "COMMIT" in statement else None)

    def hold(_connection: Connection) -> None:
        first.set()
        arrive.wait(60)

    def insert(number: int) -> None:
        # Every tenth number is 0 again, which is there already.
        value = 0 if number % 10 == 0 else number
        try:
            database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": value}))
        except Exception:
            failed.append(number)

    insert(0)
    holding = threading.Thread(target=database.write, args=(hold,))
    holding.start()
    first.wait(60)
    commits.clear()
    threads = [threading.Thread(target=insert, args=(number,)) for number in range(1, 101) if number % 10]
    for thread in threads:
        thread.start()
    until(lambda: len(database._writer._pending) == len(threads))
    arrive.set()
    for thread in [holding, *threads]:
        thread.join()
    assert len(commits) == 2, "that of the first write, and one for ninety"
    threads = [threading.Thread(target=insert, args=(number,)) for number in [*range(10, 101, 10), *range(101, 110)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = database.read(lambda connection: connection.execute(text("SELECT count(*) FROM t")).scalar())
    database.close()
    assert sorted(failed) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert count == 100


def test_a_write_that_waits_too_long_is_busy_and_reads_go_on(url: str) -> None:
    database = Database(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    raised: list[Exception] = []

    def write() -> None:
        try:
            database.check()
        except Exception as error:
            raised.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)
    assert database.read(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    assert writer.is_alive(), "a reader never waits for a writer, and this one still waits"
    writer.join()
    assert isinstance(raised[0], StorageBusy)
    assert raised[0].retry_after_s == 1
    other.execute("ROLLBACK")
    other.close()
    database.check()
    database.close()


def driver_of(database: Database) -> Any:
    return database._writing.connection.driver_connection


def test_all_who_wait_for_a_lock_are_told_together(url: str) -> None:
    """Counted in the seconds that SQLite may wait."""
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waits = LockWaits(driver_of(database))
    raised: list[Exception] = []

    def write(number: int) -> None:
        try:
            database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number}))
        except Exception as error:
            raised.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(300)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    other.close()
    waits.close()
    database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (0)")))
    database.close()
    assert [type(error) for error in raised] == [StorageBusy] * 300
    assert waits.waited_s <= 10, "the last ones came a little later"


def test_who_may_wait_for_less_is_told_before_the_others(url: str) -> None:
    """Also if another waits already, and for longer. Counted in the seconds that SQLite may wait."""
    database = Database(url)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waits, order = LockWaits(driver_of(database)), list[tuple[str, float]]()

    def write(name: str, wait_s: float | None) -> None:
        with pytest.raises(StorageBusy):
            database.write(lambda connection: None, short=True, wait_s=wait_s)
        order.append((name, waits.waited_s))

    patient = threading.Thread(target=write, args=("patient", None))
    patient.start()
    until(lambda: waits.waited_s)
    others = [threading.Thread(target=write, args=("impatient", 0.5)) for _ in range(20)]
    for each in others:
        each.start()
    for each in [*others, patient]:
        each.join()
    waits.close()
    other.close()
    database.write(lambda connection: None, wait_s=0)
    database.close()
    assert [name for name, _ in order] == ["impatient"] * 20 + ["patient"]
    assert max(waited_s for name, waited_s in order if name == "impatient") <= 2


def test_who_came_late_to_a_lock_waits_on(url: str) -> None:
    """Each has five seconds of its own: the first is told, the second writes when the lock is gone."""
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    other = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    results: list[str] = []

    def write(number: int) -> None:
        try:
            database.write(lambda connection: connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number}))
            results.append(f"{number} written")
        except StorageBusy:
            results.append(f"{number} busy")
            other.close()

    first, second = (threading.Thread(target=write, args=(number,)) for number in (1, 2))
    first.start()
    time.sleep(2)
    second.start()
    first.join()
    second.join()
    database.close()
    assert results == ["1 busy", "2 written"]


def test_what_is_not_durable_waits_for_a_lock_too(url: str) -> None:
    """On the event loop it may not wait: it is tried there, and waits in the thread."""
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (thread INTEGER, timeout INTEGER)")))
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def insert(connection: Connection) -> None:
        timeout = connection.execute(text("PRAGMA busy_timeout")).scalar()
        connection.execute(text("INSERT INTO t VALUES (1, :timeout)"), {"timeout": timeout})

    writer = threading.Thread(target=lambda: database.write(insert, durable=False, short=True))
    writer.start()
    time.sleep(0.1)
    assert writer.is_alive()
    other.execute("ROLLBACK")
    other.close()
    writer.join()
    database.write(insert, durable=False, short=True)
    timeouts = database.read(lambda connection: connection.execute(text("SELECT timeout FROM t")).scalars().all())
    database.close()
    assert timeouts == [250, 0], "the first waited, the second did not have to"


def test_a_failure_that_is_not_durable_is_nobody_elses(url: str) -> None:
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    failed: list[int] = []

    def insert(number: int) -> None:
        try:
            database.write(
                lambda connection: connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number}),
                durable=False,
                short=True,
            )
        except IntegrityError:
            failed.append(number)

    threads = [threading.Thread(target=insert, args=(number % 10,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert sorted(failed) == list(range(10))


def test_the_log_is_emptied_although_nothing_is_durable(url: str) -> None:
    """On the event loop no commit moves the log into the file: now and then one in the thread does."""
    database = Database(url)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (filler TEXT)")))
    filling = text("INSERT INTO t VALUES (:filler)")
    for _ in range(500):
        database.write(
            lambda connection: connection.execute(filling, {"filler": "x" * 40_000}), durable=False, short=True
        )
    log = Path(url.removeprefix("sqlite:///") + "-wal").stat().st_size
    database.close()
    assert log < 10_000_000, "twenty megabytes were written"


def test_an_error_quotes_no_text_of_a_caller(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"sqlite:///{tmp_path}/h.db")
    refuse = "CREATE TRIGGER refusing BEFORE UPDATE ON answers BEGIN SELECT raise(ABORT, 'no'); END"
    database.write(lambda connection: connection.execute(text(refuse)))
    store = Stores(database)
    store.start(generation(1))
    canary = "canary".upper()  # the traceback quotes this file's lines
    # The broken rule of a trigger comes as it is: `adapters.sql.errors.mapped`.
    with pytest.raises(IntegrityError) as caught:
        store.finish(completed(generation(1), output=canary))
    LogReporter().unexpected_error(caught.value)
    store.close()
    assert canary not in "".join(traceback.format_exception(caught.value)) + caplog.text


SEARCHED = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.history.model import Filters
from llm_service.core.history.search import Excerpts, parse_search
from tests.support.builders import completed, generation
from tests.support.stores import Stores

ROWS, TEXT, SEARCH = 60, "wörd " * 3900 + "needle", parse_search("needle")
store = Stores(Database(sys.argv[1]))
for number in range(ROWS):
    made = generation(number, input=TEXT)
    store.start(made)
    store.finish(completed(made))

longest = 0.0

def others():
    global longest
    while True:
        began = time.thread_time()
        gevent.sleep(0)
        longest = max(longest, time.thread_time() - began)

began, page = time.thread_time(), Excerpts(SEARCH)
for _ in range(ROWS):
    page.of([TEXT])
at_once = time.thread_time() - began
other = gevent.spawn(others)
gevent.sleep(0)
rows = store.queries.newest("alice", 100, filters=Filters(search=SEARCH))
other.kill()
store.database.close()
print(len([row for _, row in rows if row.match]), at_once / longest)
"""


def test_other_requests_run_between_the_rows_of_a_search(url: str) -> None:
    """They wait for one row at a time, in the CPU time of the event loop's thread."""
    run = subprocess.run([sys.executable, "-c", SEARCHED, url], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    rows, parts = run.stdout.split()
    assert int(rows) == 60
    assert float(parts) > 6, "all rows at once would be one part"


KILLED = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
from sqlalchemy import text
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.adapters.sql.group_writer import at_the_end
from llm_service.core.errors import StorageBusy

url, when = sys.argv[1:]
sleep = monkey.get_original("time", "sleep")
database = Database(url)
database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))

def insert(number):
    return lambda connection: connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})

def slow(connection):
    insert(1)(connection)
    wait = lambda _: sleep(0.5)
    at_the_end(connection, wait) if when == "flushing" else wait(connection)
    at_the_end(connection, insert(2))

killed = gevent.spawn(database.write, slow, short=when == "flushing")
if when == "waiting for its turn":
    gevent.sleep(0.1)
    follower = gevent.spawn(database.write, insert(9), short=True)
    gevent.sleep(0.2)
    follower.kill()
elif when == "with others in its group":
    follower = gevent.spawn(database.write, insert(9))
    gevent.sleep(0.2)
    killed.kill()
    follower.get()
    database.write(lambda connection: connection.execute(text("DELETE FROM t WHERE n > 4")))
elif when == "waiting for a lock":
    gevent.sleep(0.6)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    killed = [gevent.spawn(database.write, insert(7), short=True)]
    gevent.sleep(0.5)
    killed.append(gevent.spawn(database.write, insert(8)))
    gevent.sleep(0.5)
    gevent.killall(killed)
    other.execute("ROLLBACK")
    database.write(lambda connection: connection.execute(text("DELETE FROM t WHERE n > 4")))
elif when == "behind one that was refused":
    gevent.sleep(0.6)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = gevent.spawn(database.write, insert(7))
    gevent.sleep(3)
    killed, waits = gevent.spawn(database.write, insert(8)), gevent.spawn(database.write, insert(9))
    refused.join()
    assert isinstance(refused.exception, StorageBusy), refused
    gevent.sleep(0.5)
    killed.kill()
    other.execute("ROLLBACK")
    waits.get()
    database.write(lambda connection: connection.execute(text("DELETE FROM t WHERE n > 4")))
elif when == "beginning":
    gevent.get_hub().loop.run_callback(killed.throw)  # before it can go on
    gevent.sleep(0.1)
    database.write(slow)
else:
    gevent.sleep(0.2)
    killed.kill()
for number in (3, 4):
    with gevent.Timeout(60):
        database.write(insert(number), short=True)
print(database.read(lambda connection: connection.execute(text("SELECT n FROM t")).scalars().all()))
database.close()
"""


@pytest.mark.parametrize(
    "when",
    [
        "flushing",
        "in the thread",
        "waiting for its turn",
        "beginning",
        "with others in its group",
        "waiting for a lock",
        "behind one that was refused",
    ],
)
def test_a_writer_that_is_killed_harms_no_other(url: str, when: str) -> None:
    """Its greenlet is killed, as at the end of gunicorn's grace. The thread goes on, and keeps the connection."""
    command = [sys.executable, "-c", KILLED, url, when]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    lines = run.stdout.splitlines()
    assert lines[-1:] == ["[1, 2, 3, 4]"], run.stdout + run.stderr


def test_errors_of_the_driver_are_the_stores_errors(url: str) -> None:
    database = Database(url)

    def broken(_connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StorageUnavailable):
        database.write(broken)
    database.check()
    database.close()
