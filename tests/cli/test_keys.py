"""`flask keys` and `flask cache`, as a person or a script runs them."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command_line import flask

KEY = re.compile(r"llms_([0-9A-Za-z]{12})_[0-9A-Za-z]{49}\n", re.ASCII)


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """Also where the server would not start."""
    made = flask(
        tmp_path, "keys", "create", "ci", "--scope", "generate,usage", "--scope", "history", "--models", "a,b",
        "--rpm", "60", "--concurrent", "4", "--budget-usd-day", "2.50", "--budget-tokens-day", "100000",
        "--expires", "30d", HOST="0.0.0.0", APP_ENV="prod",
    )  # fmt: skip
    shown = KEY.fullmatch(made.stdout)
    assert (made.returncode, bool(shown)) == (0, True), made.stderr
    assert shown
    assert made.stdout.strip() not in made.stderr
    assert "shown only once" in made.stderr
    events = [json.loads(line) for line in made.stderr.splitlines() if line.startswith("{")]
    assert [(event["event"], event["logger"], event["key_id"]) for event in events] == [
        ("key created", "llm_service.security", shown[1])
    ]
    listed = flask(tmp_path, "keys", "list").stdout
    assert made.stdout.strip() not in listed
    _, row = listed.splitlines()
    for cell in (
        shown[1],
        "ci",
        "usable",
        "generate,history,usage",
        "models=a,b rpm=60 concurrent=4 usd/day=2.5 tokens/day=100000",
    ):
        assert cell in row
    revoked = flask(tmp_path, "keys", "revoke", shown[1])
    assert (revoked.returncode, revoked.stdout) == (0, f"Revoked key {shown[1]} (owner ci).\n")
    assert '"event": "key revoked"' in revoked.stderr
    assert "revoked" in flask(tmp_path, "keys", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "a b", "--scope", "generate"], 1, "name: must be"),
        (["create", "ci"], 2, "--scope"),
        (["create", "ci", "--scope", "root"], 1, "scope: must be one or more of: generate, history, usage, admin"),
        (["create", "ci", "--scope", "generate", "--rpm", "0"], 2, "--rpm"),
        (["create", "ci", "--scope", "generate", "--budget-usd-day", "free"], 1, "budget-usd-day: must be"),
        (["create", "ci", "--scope", "generate", "--expires", "2020-01-01"], 1, "expires: must be in the future"),
        (["revoke", "nope"], 1, "No key has the id 'nope'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = flask(tmp_path, "keys", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(flask(tmp_path, "keys", "list").stdout.splitlines()) == 1


def test_the_cache_may_be_cleared_while_nothing_runs(tmp_path: Path) -> None:
    done = flask(tmp_path, "cache", "clear")
    assert (done.returncode, done.stdout) == (0, "Cleared the cache.\n")


def test_a_whole_key_given_to_revoke_is_not_quoted(tmp_path: Path) -> None:
    key = flask(tmp_path, "keys", "create", "ci", "--scope", "generate").stdout.strip()
    done = flask(tmp_path, "keys", "revoke", key)
    assert done.returncode != 0
    assert key.split("_")[2][:4] not in done.stdout + done.stderr
