"""Each command once as a shell starts it, from nothing. The other tests fork theirs: see `tests.support.command_line`."""

from pathlib import Path

import pytest

from tests.support.command_line import flask, run_cold


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["generate", "basic_chat"], "Hello\n", "Echo (no model was asked): Hello\n"),
        (["templates", "list"], "", "basic_chat_v1"),
        (["templates", "check"], "", "valid. Tests: "),
        (["templates", "test", "basic_chat"], "", "ok   basic_chat_v1: "),
        (["openapi", "print"], "", '"/api/v1/generate"'),
        (["db", "upgrade"], "", "was migrated"),
        (["usage"], "", "total"),
        (["history", "export"], "", ""),
        (["history", "prune"], "", "Deleted 0 generations."),
        (["keys", "create", "ci", "--scope", "generate"], "", "llms_"),
        (["keys", "list"], "", "last used"),
        (["cache", "clear"], "", "Cleared the cache.\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_command_starts_from_nothing(tmp_path: Path, arguments: list[str], text: str, words: str) -> None:
    done = run_cold(tmp_path, *arguments, text=text)
    assert (done.returncode, words in done.stdout) == (0, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_is_revoked_by_a_cold_process(tmp_path: Path) -> None:
    key = flask(tmp_path, "keys", "create", "ci", "--scope", "generate").stdout
    done = run_cold(tmp_path, "keys", "revoke", key.split("_")[1])
    assert done.returncode == 0, done.stderr
    assert "revoked" in flask(tmp_path, "keys", "list").stdout


def test_a_forked_command_ends_as_a_cold_one(tmp_path: Path) -> None:
    for arguments in (["templates", "test", "nope"], ["keys", "create", "ci"], ["nope"], ["usage", "--until", "x"]):
        forked, cold = flask(tmp_path, *arguments), run_cold(tmp_path, *arguments)
        assert (forked.returncode, forked.stdout, forked.stderr) == (cold.returncode, cold.stdout, cold.stderr)
