"""Fixtures that many tests share: settings, apps over real SQLite files, and the provider to test against."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.postgres import database as postgres
from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.adapters.sql.sqlite.database import Database as SqliteDatabase
from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from tests.support.constants import KEY_CANARY, ROOT
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer, running_redis
from tests.support.upstream import FAULT_MODELS, Upstream
from tests.support.upstream_faults import patience_with

# What it asserts is shown as that of tests.
pytest.register_assert_rewrite("tests.support.cluster_proofs")

# Where the longest tests are: a run ends no earlier than the last of them, so that they begin first.
LONGEST = (
    "system/test_cluster.py",
    "system/test_cluster_faults.py",
    "system/test_document.py",
    "system/test_server.py",
    "system/test_nodes.py",
    "system/test_bad_connections.py",
    "adapters/test_faults.py",
    "system/test_limits.py",
    "test_linear_time.py",
)
FOLDERS = ("system", "browser", "cli", "adapters", "api", "pages")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, and the tests of a file in one worker: what they share is made once.

    Who asks the test provider waits for it: these tests are `slow`, as are those that say so because they work for
    seconds. `make test-quick` leaves both out.
    """
    items.sort(key=lambda item: _turn(item.path))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(ROOT))))
        if "upstream" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def _turn(path: Path) -> tuple[bool, int, int]:
    place = path.relative_to(ROOT / "tests")
    folder, name = place.parts[0], place.as_posix()
    is_long = name in LONGEST
    return (
        not is_long,
        LONGEST.index(name) if is_long else 0,
        FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS),
    )


@pytest.fixture(scope="session", name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session", name="redis_server")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that works, for tests that take a namespace of their own and harm nobody else's."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session", name="empty_database")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: to migrate one takes a quarter as long as to make an app."""
    path = tmp_path_factory.mktemp("empty") / "test.db"
    SqliteDatabase(f"sqlite:///{path}").close()
    return path


@pytest.fixture(name="new_database")
def _new_database(tmp_path: Path, empty_database: Path) -> Callable[[], SqliteDatabase]:
    """Opens an empty database in a file of the test's own. Who calls it closes the database."""

    def make() -> SqliteDatabase:
        path = tmp_path / "new.db"
        shutil.copyfile(empty_database, path)
        return SqliteDatabase(f"sqlite:///{path}")

    return make


@pytest.fixture(scope="session", name="postgres_server")
def _postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """For tests that leave it as it is: it is not restarted, and its settings are not changed."""
    server = PostgresServer(tmp_path_factory.mktemp("server"), "max_connections = 300")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session", name="postgres_template")
def _postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated database to copy."""
    url = postgres_server.new_database()
    postgres.migrate(url)
    return url.rsplit("/", 1)[1]


@pytest.fixture(scope="session", name="new_postgres_url")
def _new_postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Callable[[], str]:
    """Makes empty, migrated databases of the test's own."""
    return lambda: postgres_server.new_database(postgres_template)


@pytest.fixture(scope="session", name="new_postgres")
def _new_postgres(new_postgres_url: Callable[[], str]) -> Callable[[], PostgresDatabase]:
    """Opens an empty database of the test's own. Who calls it closes the database."""
    return lambda: PostgresDatabase(new_postgres_url())


@pytest.fixture(scope="session", name="pgbouncer")
def _pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    pooler = PgBouncer(postgres_server)
    yield pooler
    pooler.close()


@pytest.fixture(name="new_pooled")
def _new_pooled(new_postgres_url: Callable[[], str], pgbouncer: PgBouncer) -> Callable[[], PostgresDatabase]:
    """As `new_postgres`, through pgbouncer."""
    return lambda: PostgresDatabase(pgbouncer.through(new_postgres_url()))


@pytest.fixture(name="new_database_of")
def _new_database_of(request: pytest.FixtureRequest) -> Callable[[str], Database]:
    """Opens an empty database of an engine in `ENGINES`, or `pgbouncer`. Who calls it closes the database."""

    def make(engine: str) -> Database:
        makers = {"sqlite": "new_database", "postgres": "new_postgres", "pgbouncer": "new_pooled"}
        return request.getfixturevalue(makers[engine])()  # type: ignore[no-any-return]

    return make


def _apps(folder_of: Callable[[], Path], empty_database: Path) -> Iterator[Callable[..., Flask]]:
    """Makes apps from settings by name; their services are closed at the end."""
    apps: list[Flask] = []

    def make(**environ: str) -> Flask:
        path = folder_of() / "test.db"
        if not path.exists():
            shutil.copyfile(empty_database, path)
        base = {"DATABASE_URL": f"sqlite:///{path}", "APP_PROMPTS_DIR": str(ROOT / "prompts")}
        app = create_app(Settings.from_env({**base, **environ}))
        services_of(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        services_of(app).close()


@pytest.fixture(name="make_app")
def _make_app(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., Flask]]:
    """Apps over the same database, which is the test's own."""
    yield from _apps(lambda: tmp_path, empty_database)


@pytest.fixture(scope="module", name="make_shared_app")
def _make_shared_app(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Callable[..., Flask]]:
    """Apps for a whole module, each over a database of its own."""
    yield from _apps(lambda: tmp_path_factory.mktemp("shared"), empty_database)


@pytest.fixture(scope="module", name="shared_app")
def _shared_app(make_shared_app: Callable[..., Flask]) -> Flask:
    return make_shared_app()


@pytest.fixture(name="app")
def _app(request: pytest.FixtureRequest) -> Flask:
    """With the echo provider. A test marked `shared_app` gets the one of its module, with what others left there."""
    if request.node.get_closest_marker("shared_app"):
        return request.getfixturevalue("shared_app")  # type: ignore[no-any-return]
    return request.getfixturevalue("make_app")()  # type: ignore[no-any-return]


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(name="upstream_app")
def _upstream_app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    """With the OpenAI adapter in front of the test provider; any model may be asked for.

    A test that has a `model` gets the patience that it needs.
    """
    model = request.node.callspec.params.get("model", "normal") if hasattr(request.node, "callspec") else "normal"
    patience = patience_with(model)
    return make_app(
        OPENAI_API_KEY=KEY_CANARY,
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal,json-other," + ",".join(FAULT_MODELS),
        APP_DEADLINE_S=str(patience.deadline_s),
        APP_IDLE_TIMEOUT_S=str(min(patience.idle_s, patience.deadline_s)),
    )
