"""Opening the services, and failing to."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from llm_service.adapters.sql.errors import DatabaseFault
from llm_service.adapters.sql.sqlite.database import Database, migrate
from llm_service.bootstrap.build import build_services, make_id
from llm_service.bootstrap.resources import open_spool, signing_secret
from llm_service.bootstrap.settings import Settings
from llm_service.core.access.caller import LOCAL
from llm_service.core.generation.model import GenerateRequest
from tests.support.builders import completed, generation
from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.stores import Stores

NOBODY = 65534


def settings_of(folder: Path) -> Settings:
    prompts = str(ROOT / "prompts")
    return Settings.from_env(
        {"APP_PROMPTS_DIR": prompts, "APP_PROVIDER": "echo", "DATABASE_URL": f"sqlite:///{folder}/x.db"}
    )


def open_files() -> list[str]:
    """What this process has open, without what ended while it was looked at."""
    folder = Path("/proc/self/fd")
    return sorted(os.readlink(folder / name) for name in os.listdir(folder) if (folder / name).exists())


def set_parameters(folder: Path, text: str) -> None:
    with closing(sqlite3.connect(folder / "x.db")) as database, database:
        database.execute("UPDATE answers SET parameters = ?", (text,))


def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    """A damaged row is found at the very end, when all is open."""
    stores = Stores(Database(f"sqlite:///{tmp_path}/x.db"))
    stores.start(generation(1))
    stores.close()
    set_parameters(tmp_path, "{")
    before, threads = open_files(), threading.active_count()
    for _ in range(3):
        with pytest.raises(ValueError, match="Expecting"):
            build_services(settings_of(tmp_path))
    assert open_files() == before
    until(lambda: threading.active_count() <= threads)
    set_parameters(tmp_path, "{}")
    build_services(settings_of(tmp_path)).close()
    assert open_files() == before


def test_a_file_beside_the_database_that_cannot_be_opened_is_named_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / ".x.db.migrate").mkdir()
    with pytest.raises(DatabaseFault, match=r"\.x\.db\.migrate belongs to"):
        migrate(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_makes_belongs_to_the_service(tmp_path: Path) -> None:
    """As `sudo flask generate` does before the service's first start, and while it runs."""
    os.chown(tmp_path, NOBODY, NOBODY)
    settings = settings_of(tmp_path)
    signing_secret(settings)
    services = build_services(settings)
    services.generation.run(GenerateRequest("basic_chat_v1", "Hello"), LOCAL, make_id())
    open_spool(settings).add(completed(generation(1)))
    made = {path.name: path.stat() for path in tmp_path.iterdir()}
    services.close()
    assert {"x.db", "x.db-wal", "x.db-shm", ".x.db.migrate", ".x.db.processes", "x.db.spool", "secret_key"} <= set(made)
    assert {(each.st_uid, each.st_gid, each.st_mode & 0o777) for each in made.values()} == {(NOBODY, NOBODY, 0o600)}
