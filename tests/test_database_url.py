"""`DATABASE_URL`: which database it names, and that nobody sees its password."""

import subprocess
import sys
from pathlib import Path

import pytest

from llm_service.adapters.sql.database_url import DatabaseUrl
from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.postgres.database import PostgresDatabase
from llm_service.bootstrap.redis import namespace_of
from llm_service.bootstrap.resources import check_spool, open_spool, spool_path
from llm_service.bootstrap.settings import Settings, SettingsError
from llm_service.core.generation.model import Generation, Status
from tests.support.builders import completed, generation
from tests.support.constants import ROOT
from tests.support.logs import logged
from tests.support.processes import environment

URL = "postgresql://ann:canary%40pw@db.example/llm"


@pytest.mark.parametrize(
    "same",
    [
        "postgresql://db.example/llm",
        "postgresql+psycopg://bob:other@db.example:5432/llm?sslmode=require",
        "postgresql:///llm?host=db.example",
        "postgresql://bob@/x?host=db.example&port=5432&dbname=llm",
    ],
)
def test_whoever_connects_it_is_the_same_database(same: str) -> None:
    assert DatabaseUrl(same).digest == DatabaseUrl(URL).digest


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://db.example/llm2",
        "postgresql://db.example:5433/llm",
        "postgresql://db2.example/llm",
        "postgresql:///llm?host=/run/postgresql",
        "postgresql://db.example,db2.example/llm",
    ],
)
def test_another_place_or_name_is_another_database(other: str) -> None:
    assert DatabaseUrl(other).digest != DatabaseUrl(URL).digest


def test_several_servers_are_the_same_in_any_order() -> None:
    one_way = "postgresql://a:1,b:2/llm?target_session_attrs=read-write"
    assert DatabaseUrl(one_way).digest == DatabaseUrl("postgresql://b:2,a:1/llm").digest
    assert DatabaseUrl(one_way).digest == DatabaseUrl("postgresql:///llm?host=a,b&port=1,2").digest


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (URL, ["canary@pw", "canary%40pw"]),
        ("postgresql:///llm?host=x&password=canary&sslpassword=other", ["canary", "other"]),
        ("postgresql://x@y/llm", []),
        ("sqlite:///x.db", []),
    ],
)
def test_its_password_is_a_secret(url: str, secrets: list[str]) -> None:
    settings = Settings.from_env({"DATABASE_URL": url})
    assert settings.secrets() == secrets
    assert "canary" not in f"{settings!r} {settings.database_url} {settings.database_url!r}"


def test_it_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(f"{URL}\n")
    settings = Settings.from_env({"DATABASE_URL_FILE": str(path), "APP_DATA_DIR": str(tmp_path / "data")})
    assert settings.database_url == DatabaseUrl(URL)
    assert settings.data_folder == tmp_path / "data"


def test_errors_do_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({"DATABASE_URL": "postgres://ann:canary@host/llm"})
    assert "canary" not in str(raised.value)
    for password in ("pw@canary", "canary/1", "1/canary"):
        with pytest.raises(SettingsError, match="%XX") as refused:
            Settings.from_env({"DATABASE_URL": f"postgresql://ann:{password}@host/llm"})
        assert "canary" not in str(refused.value)
    with pytest.raises(DatabaseFault, match="libpq") as fault:
        PostgresDatabase("postgresql://ann:canary%zz@host/llm?nonsense=1")
    assert "canary" not in f"{fault.value!r} {fault.value.__cause__!r}"


def test_the_data_folder_is_var_on_postgresql() -> None:
    assert Settings.from_env({"DATABASE_URL": URL}).data_folder == Path("var").absolute()


def test_a_spool_belongs_to_its_database(tmp_path: Path) -> None:
    urls = (URL, "postgresql://db.example/other", "postgresql://db2.example/llm")
    settings = [Settings.from_env({"DATABASE_URL": url, "APP_DATA_DIR": str(tmp_path)}) for url in urls]
    open_spool(settings[0]).add(completed(generation(1)))
    found: list[list[Status]] = []
    for each in settings:
        replayed: list[Generation] = []
        open_spool(each).replay(replayed.append, lambda *_: None)
        found.append([outcome.status for outcome in replayed])
    assert found == [[Status.COMPLETED], [], []]


def test_answers_that_wait_for_a_server_under_its_old_address_are_told_of(tmp_path: Path) -> None:
    old, new = (
        Settings.from_env({"DATABASE_URL": f"postgresql://{host}/llm", "APP_DATA_DIR": str(tmp_path)})
        for host in ("db1", "db2")
    )
    for settings in (old, new):
        open_spool(settings).add(completed(generation(1)))
    with logged("WARNING") as lines:
        check_spool(new)
        (line,) = lines
        assert f"cat {spool_path(old)} >> {spool_path(new)} && rm" in line
        spool_path(old).write_text("")
        check_spool(new)
        assert len(lines) == 1


def test_a_redis_server_may_be_shared_with_other_databases() -> None:
    urls = (URL, "postgresql://bob@db.example:5432/llm", "postgresql://db.example/other", "sqlite:///x.db")
    mine, same, *others = (namespace_of(Settings.from_env({"DATABASE_URL": url})) for url in urls)
    assert mine == same
    assert mine not in others


def test_who_reads_the_settings_does_not_load_the_driver(tmp_path: Path) -> None:
    """gunicorn's master reads them, and workers must load it after gevent patched what it waits with."""
    code = "import sys, os; from llm_service.bootstrap.settings import Settings; Settings.load(os.environ); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print([name for name in ('psycopg', 'sqlalchemy') if name in sys.modules])"],
        cwd=ROOT, env=environment(tmp_path, DATABASE_URL=URL), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_service_on_sqlite_does_not_load_the_driver() -> None:
    code = "import sys, llm_service.app; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
