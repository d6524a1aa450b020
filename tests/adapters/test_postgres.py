"""PostgreSQL's faults, in real servers: what is said to be stored is stored, and what is not said may be tried again.

Longer than other modules: the tests share a server that they restart.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from llm_service.adapters.sql.errors import DatabaseAway, DatabaseFault, OldSchema
from llm_service.adapters.sql.group_writer import at_the_end
from llm_service.adapters.sql.postgres.connections import FIRST_ANSWER_S, driver_of
from llm_service.adapters.sql.postgres.database import POOL_SIZE, PostgresDatabase, migrate
from llm_service.adapters.sql.schema import REVISIONS
from llm_service.core.errors import StorageBusy, StorageError, StorageFull, StorageUnavailable
from tests.support.clocks import until
from tests.support.commit_proxy import CommitProxy, How
from tests.support.postgres import PostgresServer
from tests.support.processes import environment, free_port, needed_program

INSERT = text("INSERT INTO epochs VALUES (:name, 1)")
COUNT = text("SELECT count(*) FROM epochs")


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """For these tests, which restart it."""
    server = PostgresServer(tmp_path_factory.mktemp("server"), "max_connections = 30")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="module", name="template")
def _template(server: PostgresServer) -> str:
    url = server.new_database()
    migrate(url)
    return url.rsplit("/", 1)[1]


@pytest.fixture(name="url")
def _url(server: PostgresServer, template: str) -> str:
    return server.new_database(template)


@pytest.fixture(name="database")
def _database(url: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(url)
    yield database
    database.close()


def insert(database: PostgresDatabase, name: str, *, short: bool = True, durable: bool = True) -> None:
    database.write(lambda connection: connection.execute(INSERT, {"name": name}), short=short, durable=durable)


def count(database: PostgresDatabase, **options: bool) -> int:
    found: int = database.read(lambda connection: connection.execute(COUNT).scalar_one(), **options)
    return found


def behind(proxy: CommitProxy, url: str) -> str:
    return url.replace(url.split("@")[1].split("/")[0], f"127.0.0.1:{proxy.port}")


def test_a_transaction_is_stored_or_not_at_all(database: PostgresDatabase) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(INSERT, {"name": "a"})
        raise ValueError

    for short in (True, False):
        with pytest.raises(ValueError):
            database.write(broken, short=short)
        assert count(database) == 0


def test_reads_see_one_moment_and_change_nothing(database: PostgresDatabase) -> None:
    def work(connection: Connection) -> list[int]:
        before = connection.execute(COUNT).scalar_one()
        insert(database, "a")
        return [before, connection.execute(COUNT).scalar_one()]

    assert database.read(work) == [0, 0]
    with pytest.raises(StorageUnavailable):
        database.read(lambda connection: connection.execute(INSERT, {"name": "b"}))
    assert count(database) == 1


def together(database: PostgresDatabase, *works: Callable[[Connection], object]) -> list[Exception]:
    """Short works that arrive while another transaction is in progress. Returns what they raised."""
    entered, goes_on = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        entered.set()
        goes_on.wait(10)

    raised: list[Exception] = []

    def write(work: Callable[[Connection], object]) -> None:
        try:
            database.write(work, short=True)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=write, args=(work,)) for work in (hold, *works)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(database._writer._pending) < len(works):
        time.sleep(0.001)
    goes_on.set()
    for thread in threads:
        thread.join()
    return raised


def test_writes_share_commits(database: PostgresDatabase) -> None:
    transactions = set[str]()

    def work(connection: Connection, name: str) -> None:
        connection.execute(INSERT, {"name": name})
        transactions.add(connection.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())

    assert together(database, *(partial(work, name=f"n{number}") for number in range(20))) == []
    assert len(transactions) == 1
    assert count(database) == 20


def test_one_failure_is_nobody_elses(database: PostgresDatabase) -> None:
    insert(database, "taken")
    works = [partial(Connection.execute, statement=INSERT, parameters={"name": name}) for name in ("taken", "a", "b")]
    assert [type(error) for error in together(database, *works)] == [IntegrityError]
    assert count(database) == 3


def test_an_error_among_rows_that_are_sent_together_is_the_servers_answer(database: PostgresDatabase) -> None:
    """psycopg sends them in a pipeline, which is active until its end."""
    rows = [{"name": name} for name in ("a", "a", *map(str, range(200)))]
    with pytest.raises(IntegrityError):
        database.write(lambda connection: connection.execute(INSERT, rows), short=True)
    assert count(database) == 0


def test_what_comes_at_the_end_is_in_the_same_transaction(database: PostgresDatabase) -> None:
    def work(connection: Connection) -> None:
        at_the_end(connection, lambda last: last.execute(INSERT, {"name": "late"}))
        connection.execute(INSERT, {"name": "early"})

    database.write(work, short=True)
    database.write(lambda connection: connection.execute(text("DELETE FROM epochs WHERE name = 'late'")))
    assert count(database) == 1


def test_an_ignored_error_is_no_success(database: PostgresDatabase) -> None:
    """The server answers the COMMIT of a failed transaction with ROLLBACK, which is no error."""
    insert(database, "taken")

    def work(connection: Connection) -> None:
        with pytest.raises(IntegrityError):
            connection.execute(INSERT, {"name": "taken"})

    with pytest.raises(StorageUnavailable):
        database.write(work, short=True)


@pytest.mark.parametrize("durable", [True, False])
def test_what_nobody_needs_flushed_is_not_waited_for(database: PostgresDatabase, durable: bool) -> None:
    show = text("SHOW synchronous_commit")
    found = database.write(lambda connection: connection.execute(show).scalar_one(), short=True, durable=durable)
    assert found == ("on" if durable else "off")


def test_no_session_is_changed(database: PostgresDatabase) -> None:
    """A pooler gives the session to others."""
    changed = text("SELECT name FROM pg_settings WHERE source = 'session'")
    prepared = text("SELECT count(*) FROM pg_prepared_statements")
    for _ in range(10):
        insert(database, "a")
        database.write(lambda connection: connection.execute(text("DELETE FROM epochs")), short=True)
    with database._requests._engine.connect() as connection:
        assert connection.execute(changed).scalars().all() == []
        assert connection.execute(prepared).scalar_one() == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_while_nothing_runs_is_not_noticed(
    server: PostgresServer, database: PostgresDatabase, how: signal.Signals
) -> None:
    barrier = threading.Barrier(4)
    readers = [
        threading.Thread(target=lambda: database.read(lambda _: barrier.wait(10)), daemon=True) for _ in range(4)
    ]
    for reader in readers:
        reader.start()  # several connections in the pool
    for reader in readers:
        reader.join()
    insert(database, "a")
    count(database, sign_in=True)
    server.restart(how)
    for number in range(3):
        insert(database, f"b{number}")
        insert(database, f"c{number}", short=False)
        count(database, sign_in=True)
    assert count(database) == 7


@pytest.mark.slow
def test_while_the_server_is_away_everything_fails_at_once_and_later_nothing(
    server: PostgresServer, database: PostgresDatabase
) -> None:
    insert(database, "a")
    server.stop(signal.SIGQUIT)
    try:
        refusals: list[Callable[[], None]] = [
            lambda: insert(database, "b"),
            lambda: insert(database, "b", short=False),
            database.check,
        ]
        for refused in refusals:
            with pytest.raises(StorageUnavailable):
                refused()
        with pytest.raises(StorageUnavailable):
            count(database)
    finally:
        server.start()
    database.check()
    insert(database, "c")
    assert count(database) == 2


@pytest.mark.parametrize("short", [True, False])
def test_a_connection_lost_in_the_middle_is_tried_again(
    server: PostgresServer, database: PostgresDatabase, short: bool
) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"name": "a"})
        runs.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        if len(runs) == 1:
            server.run(f"SELECT pg_terminate_backend({runs[0]}, 5000)")
        connection.execute(INSERT, {"name": "b"})

    database.write(work, short=short)
    assert len(set(runs)) == 2
    assert count(database) == 2


def test_what_was_in_use_when_another_connection_was_lost_does_not_stay_open(
    server: PostgresServer, database: PostgresDatabase
) -> None:
    """Its pool was given up then. Else each loss would leave more of them."""
    held, done, lost = threading.Semaphore(0), threading.Event(), list[int]()

    def hold(_connection: Connection) -> bool:
        held.release()
        return done.wait(10)

    def lose(connection: Connection) -> None:
        if not lost:
            lost.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            server.run(f"SELECT pg_terminate_backend({lost[0]}, 5000)")
        connection.execute(INSERT, {"name": "a"})

    with ThreadPoolExecutor(POOL_SIZE) as others:
        readers = [others.submit(database.read, hold) for _ in range(POOL_SIZE - 1)]
        assert all(held.acquire(timeout=10) for _ in readers)
        database.write(lose)
        done.set()
        assert all(reader.result(10) for reader in readers)
    name = database.read(lambda connection: connection.execute(text("SELECT current_database()")).scalar_one())
    open_now = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    until(lambda: server.run(open_now) == [(1,)])


def test_a_silent_server_is_given_up(database: PostgresDatabase) -> None:
    """As behind a network that swallows everything."""
    drivers = []

    def work(connection: Connection) -> None:
        drivers.append(driver_of(connection))
        drivers[-1].silence_s = 0.1
        connection.execute(text("SELECT pg_sleep(60)"))

    with pytest.raises(StorageUnavailable):
        database.read(work)
    assert [driver.closed for driver in drivers] == [True] * 3
    assert count(database) == 0


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("how", ["before", "held", "after"])
def test_what_became_of_a_commit_is_looked_up(server: PostgresServer, url: str, how: How, short: bool) -> None:
    with CommitProxy(server.port) as proxy:
        database = PostgresDatabase(behind(proxy, url))
        insert(database, "first", short=short)
        proxy.cut = how
        if how == "after":
            insert(database, "second", short=short)
        else:
            with pytest.raises(StorageUnavailable):
                insert(database, "second", short=short)
        assert proxy.cuts == 1
        assert count(database) == (2 if how == "after" else 1)
        insert(database, "third", short=short)
        database.close()


@pytest.mark.slow
def test_a_commit_before_a_crash_is_looked_up_when_the_server_is_back(server: PostgresServer, url: str) -> None:
    def crash() -> None:
        server.stop(signal.SIGQUIT)
        restarting.start()

    restarting = threading.Thread(target=server.start)
    with CommitProxy(server.port, crash) as proxy:
        database = PostgresDatabase(behind(proxy, url))
        proxy.cut = "after"
        insert(database, "first")
        restarting.join()
        assert count(database) == 1
        database.close()


def test_a_server_that_does_not_tell_its_timeline_cannot_say_what_became_of_a_commit(
    server: PostgresServer, url: str
) -> None:
    """Another server may have given the transaction's number again."""
    name = url.rsplit("/", 1)[1]
    for statement in (
        "CREATE ROLE plain LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO plain",
        "REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC",
    ):
        server.run(statement, name)
    with CommitProxy(server.port) as proxy:
        database = PostgresDatabase(behind(proxy, url).replace("llm@", "plain@"))
        insert(database, "first")
        proxy.cut = "after"
        with pytest.raises(StorageUnavailable):
            insert(database, "second")
        assert count(database) == 2
        database.close()


KILLED = """
    from gevent import monkey
    monkey.patch_all()
    import sys, gevent
    from sqlalchemy import text
    from llm_service.adapters.sql.postgres.database import PostgresDatabase

    database = PostgresDatabase(sys.argv[1])

    def insert(name):
        statement = text("INSERT INTO epochs VALUES (:name, 1)")
        database.write(lambda connection: connection.execute(statement, {"name": name}), short=True)
        return "stored"

    print("ready", flush=True)
    sys.stdin.readline()
    leader, follower = gevent.spawn(insert, "a"), gevent.spawn(insert, "b")
    gevent.get_hub().threadpool.apply(sys.stdin.readline)
    leader.kill(timeout=20)
    print(follower.get(timeout=20), type(leader.value).__name__, insert("c"))
"""


@pytest.mark.slow
def test_who_is_killed_in_a_commit_takes_nobody_along(server: PostgresServer, url: str, tmp_path: Path) -> None:
    answered = threading.Event()
    with CommitProxy(server.port, answered.set) as proxy:
        command = [sys.executable, "-c", textwrap.dedent(KILLED), behind(proxy, url)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            proxy.cut = "silent"
            process.stdin.write("go\n")
            process.stdin.flush()
            assert answered.wait(20)
            process.stdin.write("kill\n")
            process.stdin.flush()
            assert process.stdout.read().split() == ["stored", "GreenletExit", "stored"]
    assert server.run("SELECT count(*) FROM epochs", url.rsplit("/", 1)[1]) == [(3,)]


@pytest.mark.slow
def test_a_server_that_turned_read_only_is_read_and_left(server: PostgresServer, database: PostgresDatabase) -> None:
    """As after a failover, when the name still leads to the old primary."""

    def is_writable() -> bool:
        try:
            database.check()
        except StorageUnavailable:
            return False
        return True

    insert(database, "a")
    server.run("ALTER SYSTEM SET default_transaction_read_only = on")
    server.run("SELECT pg_reload_conf()")
    try:
        until(lambda: not is_writable())  # it tells its processes in its own time
        for short in (True, False):
            with pytest.raises(StorageUnavailable):
                insert(database, "b", short=short)
        assert count(database) == 1
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
    until(is_writable)
    insert(database, "c")
    assert count(database) == 2


def test_too_many_connections_are_busy(server: PostgresServer, database: PostgresDatabase) -> None:
    others: list[psycopg.Connection] = []
    with pytest.raises(psycopg.OperationalError, match=r"too many|reserved"):
        others.extend(iter(lambda: psycopg.connect(server.url()), None))
    try:
        with pytest.raises(StorageBusy):
            count(database)
        with pytest.raises(StorageBusy):
            insert(database, "a")
    finally:
        for other in others:
            other.close()
    until(lambda: _is_stored(database))  # the server ends them in its own time
    assert count(database) == 1


def _is_stored(database: PostgresDatabase) -> bool:
    try:
        insert(database, "a")
    except StorageBusy:
        return False
    return True


@pytest.mark.slow
def test_a_pool_without_a_free_connection_is_busy_after_a_second(database: PostgresDatabase) -> None:
    all_taken, goes_on = threading.Barrier(9), threading.Event()

    def hold(_connection: Connection) -> None:
        all_taken.wait(10)
        goes_on.wait(10)

    holders = [threading.Thread(target=database.read, args=(hold,)) for _ in range(8)]
    for holder in holders:
        holder.start()
    all_taken.wait(10)
    with pytest.raises(StorageBusy):
        count(database)
    insert(database, "a")  # has a connection of its own
    assert count(database, sign_in=True) == 1
    goes_on.set()
    for holder in holders:
        holder.join()


@pytest.mark.slow
def test_a_lock_of_others_is_busy_and_holds_nobody_up(database: PostgresDatabase, url: str) -> None:
    insert(database, "locked")
    update = text("UPDATE epochs SET value = value + 1 WHERE name = 'locked'")
    refused: list[StorageError] = []

    def meet_the_lock(wait_s: float = 2, *, short: bool = True) -> None:
        try:
            database.write(lambda connection: connection.execute(update), short=short, wait_s=wait_s)
        except StorageError as error:
            refused.append(error)

    with psycopg.connect(url) as other:
        other.execute("UPDATE epochs SET value = 7")
        waiting = [threading.Thread(target=meet_the_lock) for _ in range(3)]
        for each in waiting:
            each.start()
        for number in range(5):
            insert(database, f"free{number}")
        assert refused == [], "they still wait, and others did not"
        meet_the_lock(0.01, short=False)
        for each in waiting:
            each.join()
        assert [type(error) for error in refused] == [StorageBusy] * 4
        other.rollback()
    meet_the_lock()
    assert len(refused) == 4


@pytest.mark.slow
def test_of_two_who_wait_for_each_other_both_get_through(database: PostgresDatabase) -> None:
    insert(database, "a")
    insert(database, "b")
    both = threading.Barrier(2)

    def work(connection: Connection, first: str, second: str, runs: list[int]) -> None:
        update = text("UPDATE epochs SET value = value + 1 WHERE name = :name")
        runs.append(1)
        connection.execute(update, {"name": first})
        if len(runs) == 1:
            both.wait(10)
        connection.execute(update, {"name": second})

    one_way, other_way = list[int](), list[int]()
    threads = [
        threading.Thread(target=lambda: database.write(lambda c: work(c, "a", "b", one_way))),
        threading.Thread(target=lambda: database.write(lambda c: work(c, "b", "a", other_way))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = database.read(lambda c: c.execute(text("SELECT value FROM epochs")).scalars().all())
    assert values == [3, 3]


def test_a_full_disk_is_full_and_refuses_for_a_while(server: PostgresServer, database: PostgresDatabase) -> None:
    """A temporary file over its limit and a full disk are the same to the server: no room."""
    full = text("DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$")
    database.space.require()
    with pytest.raises(StorageFull):
        database.write(lambda connection: connection.execute(full), short=True)
    with pytest.raises(StorageFull):
        database.space.require()
    assert count(database) == 0


@pytest.fixture(name="small_disk")
def _small_disk() -> Iterator[Path]:
    """One MiB, of the server's user."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mount = [needed_program("mount"), "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run([needed_program("umount"), str(folder)], check=True)
    folder.rmdir()


def test_a_really_full_disk_is_full_and_what_is_there_can_be_read(
    server: PostgresServer, url: str, small_disk: Path
) -> None:
    space = small_disk / "space"
    space.mkdir(mode=0o700)
    if "user" in server.user:
        shutil.chown(space, server.user["user"])
    server.run(f"CREATE TABLESPACE small LOCATION '{space}'")
    name = url.rsplit("/", 1)[1]
    server.run("ALTER TABLE epochs SET TABLESPACE small", name)
    database = PostgresDatabase(url)
    much = text("INSERT INTO epochs SELECT n::text || repeat('x', 500), 1 FROM generate_series(1, 10000) n")
    insert(database, "a")
    for short in (True, False):
        with pytest.raises(StorageFull):
            database.write(lambda connection: connection.execute(much), short=short)
    with pytest.raises(StorageFull):
        database.check()
    assert count(database) == 1
    database.close()
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
    server.run("DROP TABLESPACE small")


def test_scrubbing_leaves_no_dead_rows(database: PostgresDatabase) -> None:
    database.scrub()


def test_one_of_many_who_start_at_once_migrates(server: PostgresServer) -> None:
    url = server.new_database()
    changed: list[bool] = []
    threads = [threading.Thread(target=lambda: changed.append(migrate(url, only_empty=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False] * 7 + [True]


@pytest.mark.slow
def test_who_waits_for_a_migration_is_not_in_a_hurry(server: PostgresServer) -> None:
    """Whatever the operator has set for requests."""
    url = server.new_database()
    for limit in ("statement_timeout", "lock_timeout"):
        server.run(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET {limit} = '1s'")
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as waiting:
        other.execute("SELECT pg_advisory_xact_lock(7516192768)")
        migrated = waiting.submit(migrate, url)
        with pytest.raises(TimeoutError):
            migrated.result(FIRST_ANSWER_S + 1)
        other.rollback()
        assert migrated.result(60)


def test_an_older_schema_stops_the_start_and_is_migrated_by_command(server: PostgresServer, url: str) -> None:
    name = url.rsplit("/", 1)[1]
    server.run(f"UPDATE alembic_version SET version_num = '{REVISIONS[0]}'", name)
    with pytest.raises(OldSchema, match="flask db upgrade"):
        PostgresDatabase(url)
    with pytest.raises(OldSchema, match=REVISIONS[0]):
        migrate(url, only_empty=True)


def test_a_schema_of_the_future_stops_the_start(server: PostgresServer, url: str) -> None:
    server.run("UPDATE alembic_version SET version_num = '9999'", url.rsplit("/", 1)[1])
    server.run("UPDATE schema_compatibility SET since = '9999'", url.rsplit("/", 1)[1])
    with pytest.raises(DatabaseFault, match="newer"):
        PostgresDatabase(url)


def test_a_database_with_another_encoding_is_refused(server: PostgresServer) -> None:
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseFault, match="UTF8"):
        PostgresDatabase(server.url("latin"))


def test_who_may_not_create_tables_is_told_what_to_do_in_a_line(server: PostgresServer) -> None:
    url = server.new_database()
    server.run("CREATE ROLE stranger LOGIN")
    with pytest.raises(DatabaseFault, match=r"permission denied for schema public\. .* OWNER TO") as raised:
        PostgresDatabase(url.replace("llm@", "stranger@"))
    assert "CREATE TABLE" not in str(raised.value)


@pytest.mark.parametrize("make", [lambda port: free_port(), lambda port: port])
def test_the_reason_is_a_line_without_the_password(server: PostgresServer, make: Callable[[int], int]) -> None:
    """There is no server, and then no such database."""
    url = f"postgresql://llm:canary-pw@127.0.0.1:{make(server.port)}/missing?connect_timeout=2"
    with pytest.raises(DatabaseAway) as raised:
        PostgresDatabase(url)
    assert "canary-pw" not in str(raised.value)
    assert "\n" not in str(raised.value)
