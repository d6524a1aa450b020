"""APP_DATA_DIR: what is in it, and that databases which share it never share what belongs to one of them."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llm_service.adapters.sql.sqlite.database import sqlite_path
from llm_service.bootstrap.build import build_services
from llm_service.bootstrap.errors import StartError
from llm_service.bootstrap.resources import (
    kept_prompts,
    load_templates,
    open_data_folder,
    open_database,
    open_spool,
    signing_secret,
)
from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.start_checks import check_start
from llm_service.core.generation.model import Status
from tests.support.builders import completed, generation
from tests.support.constants import ROOT
from tests.support.stores import Stores


def settings_for(**environ: object) -> Settings:
    base = {"APP_PROMPTS_DIR": str(ROOT / "prompts")}
    return Settings.from_env({**base, **{name: str(value) for name, value in environ.items()}})


def test_by_default_everything_is_beside_the_database(tmp_path: Path) -> None:
    settings = settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    open_spool(settings).add(completed(generation(1)))
    signing_secret(settings)
    assert kept_prompts(settings) == tmp_path / "last_good_prompts.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret_key", "x.db.spool"]


@pytest.mark.parametrize(
    "environ", [{}, {"APP_DATA_DIR": "data"}, {"APP_DATA_DIR": "data", "DATABASE_URL": "sqlite:///db/x.db"}]
)
def test_where_the_files_are(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_for(**environ)
    folder = tmp_path / environ.get("APP_DATA_DIR", "var")
    assert settings.data_folder == folder
    assert settings.database_path == (tmp_path / "db/x.db" if "DATABASE_URL" in environ else folder / "llm_service.db")
    assert open_data_folder(settings) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.fixture(name="usual_umask")
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_only_their_owner_reads_the_files(tmp_path: Path) -> None:
    """In a folder that others may read, which an operator made."""
    tmp_path.chmod(0o755)
    settings = settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    with closing(Stores(open_database(settings))) as store:
        store.start(generation(1))
        open_spool(settings).add(completed(generation(1)))
        signing_secret(settings)
        load_templates(settings, kept=kept_prompts(settings))
        modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert {"x.db", "x.db-wal", "x.db-shm", "x.db.spool", "secret_key", "last_good_prompts.json"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}, modes


@pytest.mark.usefixtures("usual_umask")
def test_a_database_keeps_the_mode_that_its_operator_gave_it(tmp_path: Path) -> None:
    settings = settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    open_database(settings).close()
    (tmp_path / "x.db").chmod(0o640)
    with closing(Stores(open_database(settings))) as store:
        store.start(generation(1))
        assert {oct(stat.S_IMODE((tmp_path / name).stat().st_mode)) for name in ("x.db", "x.db-wal")} == {"0o640"}


@pytest.mark.parametrize("url", ["sqlite:///a/x.db", "sqlite:////tmp/a b%20c/x.db", "sqlite:///é:y/x.db"])
def test_the_settings_and_the_database_mean_the_same_file(url: str) -> None:
    assert settings_for(DATABASE_URL=url).database_path == sqlite_path(url)


def test_a_spool_is_replayed_into_its_own_database_only(tmp_path: Path) -> None:
    """Both databases have the same file name, and one of them is in the data folder itself."""
    shared = tmp_path / "data"
    first, second, third = (
        settings_for(APP_DATA_DIR=shared, DATABASE_URL=f"sqlite:///{folder}/x.db")
        for folder in (tmp_path / "first", tmp_path / "second", shared)
    )
    for settings in (first, second, third):
        with closing(Stores(open_database(settings))) as store:
            store.start(generation(1))
    open_spool(first).add(completed(generation(1)))
    (spool,) = shared.glob("*.spool")
    # What a start finds running in the others was left by a process that died.
    assert [_status_after_start(settings) for settings in (second, third)] == [Status.INTERRUPTED, Status.INTERRUPTED]
    assert spool.stat().st_size
    assert _status_after_start(first) is Status.COMPLETED
    assert not spool.stat().st_size


def test_a_spool_that_stayed_beside_the_database_stops_the_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with closing(Stores(open_database(settings_for(DATABASE_URL=url)))) as store:
        store.start(generation(1))
    open_spool(settings_for(DATABASE_URL=url)).add(completed(generation(1)))
    moved = settings_for(DATABASE_URL=url, APP_DATA_DIR=tmp_path / "data")
    with pytest.raises(
        StartError, match=r"answers that are not in the history yet\. Move it: mv (\S+) (\S+)$"
    ) as raised:
        check_start(moved)
    assert raised.value.exit_code == 78
    _, source, target = str(raised.value).rsplit(maxsplit=2)
    Path(source).rename(target)
    check_start(moved)
    assert _status_after_start(moved) is Status.COMPLETED


def test_databases_that_share_a_folder_keep_their_own_prompts(tmp_path: Path) -> None:
    """A worker that starts with a broken file must not get the prompts of another service."""
    found = {
        kept_prompts(settings_for(APP_DATA_DIR=tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/{name}/x.db"))
        for name in ("first", "second")
    }
    assert len(found) == 2
    assert {path.parent for path in found} == {tmp_path}


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"APP_DATA_DIR: .*/file/data cannot be created") as raised:
        open_data_folder(settings_for(APP_DATA_DIR=tmp_path / "file/data", DATABASE_URL=f"sqlite:///{tmp_path}/x.db"))
    assert raised.value.exit_code == 78


def _status_after_start(settings: Settings) -> Status:
    services = build_services(settings)
    try:
        return services.history.get("alice", "id-1").status
    finally:
        services.close()
