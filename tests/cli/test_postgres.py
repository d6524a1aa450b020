"""The commands on a PostgreSQL database."""

from collections.abc import Callable
from pathlib import Path

from tests.support.command_line import flask


def test_the_commands_work_on_it(tmp_path: Path, new_postgres_url: Callable[[], str]) -> None:
    environ = {
        "DATABASE_URL": new_postgres_url().replace("postgresql:", "postgresql+psycopg:"),
        "APP_DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": "b9f4" * 4 + "0c7d21e8a65f3b90" * 2,
    }
    for arguments, words in (
        (["db", "upgrade"], "up to date"),
        (["keys", "create", "ci", "--scope", "generate"], "llms_"),
        (["keys", "list"], "ci"),
        (["generate", "basic_chat"], "Echo (no model was asked): Hello"),
        (["usage"], "total"),
        (["history", "export"], "Hello"),
        (["history", "prune"], "Deleted 0 generations."),
        (["cache", "clear"], "Cleared the cache."),
    ):
        done = flask(tmp_path, *arguments, text="Hello\n", **environ)
        assert (done.returncode, words in done.stdout) == (0, True), (arguments, done.stdout, done.stderr)


def test_a_server_that_is_away_is_a_line(tmp_path: Path, new_postgres_url: Callable[[], str]) -> None:
    url = new_postgres_url().replace("llm@", "llm:canary-pw@").rsplit("/", 1)[0] + "/missing"
    done = flask(tmp_path, "usage", DATABASE_URL=url)
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert "canary" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
