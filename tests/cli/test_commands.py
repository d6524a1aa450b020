"""The commands as processes, as a person or a script runs them."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command_line import flask


def test_generate_does_the_main_job(tmp_path: Path) -> None:
    done = flask(tmp_path, "generate", "basic_chat", "-p", "tone=simple", text="Hello\nthere\n")
    assert (done.returncode, done.stdout) == (0, "Echo (no model was asked): Hello\nthere\n")
    (tmp_path / "in.txt").write_text("From a file")
    done = flask(tmp_path, "generate", "summarize_v1", "--input", "in.txt", "--json")
    answer = json.loads(done.stdout)
    assert (answer["template_id"], answer["status"]) == ("summarize_v1", "completed")
    assert "From a file" in answer["user_prompt"]


def test_the_data_folder_is_made_with_all_that_is_kept(tmp_path: Path) -> None:
    """An empty DATABASE_URL counts as not set."""
    done = flask(tmp_path, "generate", "basic_chat", text="Hello", DATABASE_URL="", APP_DATA_DIR="data")
    assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "data").iterdir()}
    assert files >= {"llm_service.db", "secret_key", "last_good_prompts.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope"], 1, "unknown-template: There is no template 'nope'"),
        (["basic_chat", "-p", "tone=loud"], 1, "parameters.tone: must be one of"),
        (["basic_chat", "-p", "tone"], 2, "is not NAME=VALUE"),
        (["basic_chat", "--model", "other"], 1, "unknown-model"),
        (["basic_chat", "--temperature", "3"], 1, "options.temperature: must be at most 2"),
        (["basic_chat", "--max-output-tokens", "x"], 2, "not a valid integer"),
    ],
)
def test_generate_says_what_is_wrong(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = flask(tmp_path, "generate", *arguments, text="Hello")
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_incomplete_answer_is_printed_and_has_its_own_exit_code(tmp_path: Path) -> None:
    done = flask(tmp_path, "generate", "basic_chat", "--max-output-tokens", "2", "--temperature", "0", text="Hello")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (
        3,
        "Echo (no",
        "incomplete: max_output_tokens",
    )


def test_templates(tmp_path: Path) -> None:
    checked = flask(tmp_path, "templates", "check", HOST="0.0.0.0", APP_ENV="prod")
    assert re.fullmatch(r"Templates: \d+ valid\. Tests: \d+ passed\.\n", checked.stdout)
    assert "basic_chat_v1" in flask(tmp_path, "templates", "list").stdout
    (tmp_path / "bad_v1.prompty").write_text("---\nname: 3\n---\nuser:\nx")
    done = flask(tmp_path, "templates", "check", APP_PROMPTS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert f"{tmp_path}/bad_v1.prompty:" in done.stderr


WITH_TESTS = """---
name: T
inputs:
  - {name: input, kind: string, required: true}
metadata:
  tests:
    - name: good
      inputs: {input: Hi}
      expect: {user: Say Hi}
    - name: bad
      inputs: {input: Hi}
      expect: {user: {contains: [Bye]}}
---
user:
Say {{ input }}
"""


PUBLIC = "---\nname: Public\nauthors: [somebody]\nmodel:\n  api: chat\n---\nuser:\n{{question}} {{firstName}}\n"


def test_templates_import(tmp_path: Path) -> None:
    """Good files are written, bad ones told with line and remedy, and the result loads."""
    (tmp_path / "Public Chat.prompty").write_text(PUBLIC)
    (tmp_path / "bad.prompty").write_text("---\nname: Bad\n---\nassistant:\nHi\nuser:\n{{ q\n")
    done = flask(
        tmp_path, "templates", "import", "Public Chat.prompty", "bad.prompty", "--to", "ours", "--input", "question"
    )
    assert done.returncode == 1
    assert "Public Chat.prompty -> ours/public_chat_v1.prompty" in done.stdout
    assert "dropped: line 3: authors" in done.stdout
    assert "Files: 1 imported, 1 refused." in done.stdout
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["bad.prompty:4", "bad.prompty:7"]
    checked = flask(tmp_path, "templates", "check", APP_PROMPTS_DIR="ours")
    assert (checked.returncode, checked.stdout) == (0, "Templates: 1 valid. Tests: 0 passed.\n")
    asked = flask(tmp_path, "generate", "public_chat", "-p", "first_name=Ann", text="Why?", APP_PROMPTS_DIR="ours")
    assert "Why? Ann" in asked.stdout


def test_templates_import_refuses_what_no_prompt_file_may_have(tmp_path: Path) -> None:
    (tmp_path / "nul.prompty").write_bytes(b"---\nname: T\n---\nuser:\n{{q}}\x00\n")
    (tmp_path / "latin.prompty").write_bytes(b"---\nname: caf\xe9\n---\nuser:\n{{q}}\n")
    (tmp_path / "folder.prompty").mkdir()
    (tmp_path / "good.prompty").write_bytes(b"\xef\xbb\xbf---\r\nname: T\r\n---\r\nuser:\r\n{{q}}\r\n")
    files = ["nul.prompty", "latin.prompty", "folder.prompty", "none.prompty", "good.prompty"]
    done = flask(tmp_path, "templates", "import", *files, "--to", "ours")
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "nul.prompty:5",
        "latin.prompty:2",
        "folder.prompty",
        "none.prompty",
    ]
    assert (done.returncode, [file.name for file in (tmp_path / "ours").iterdir()]) == (1, ["good_v1.prompty"])


def test_templates_import_asks_which_input_is_the_main_text(tmp_path: Path) -> None:
    (tmp_path / "chat.prompty").write_text(PUBLIC)
    answered = flask(tmp_path, "templates", "import", "chat.prompty", "--to", "ours", text="firstName\n")
    assert answered.returncode == 0, answered.stderr
    assert "{{question}} {{input}}" in (tmp_path / "ours" / "chat_v1.prompty").read_text()
    again = flask(tmp_path, "templates", "import", "chat.prompty", "--to", "ours", text="question\n")
    assert (again.returncode, "--replace" in again.stderr) == (1, True)
    unanswered = flask(tmp_path, "templates", "import", "chat.prompty", "--to", "other")
    assert (unanswered.returncode, "--input NAME" in unanswered.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


def test_templates_test(tmp_path: Path) -> None:
    done = flask(tmp_path, "templates", "test")
    assert (done.returncode, "FAIL" in done.stdout, done.stderr) == (0, False, "")
    done = flask(tmp_path, "templates", "test", "basic_chat")
    assert {line.split()[1] for line in done.stdout.splitlines()[:-1]} == {"basic_chat_v1:"}
    assert flask(tmp_path, "templates", "test", "nope").returncode == 1
    (tmp_path / "t_v1.prompty").write_text(WITH_TESTS)
    done = flask(tmp_path, "templates", "test", APP_PROMPTS_DIR=str(tmp_path))
    assert (done.returncode, done.stdout.splitlines()) == (1, [
        "ok   t_v1: good",
        "FAIL t_v1: bad",
        "     t_v1.prompty:10: the user message does not contain 'Bye': it is 'Say Hi'",
        "Tests: 1 passed, 1 failed.",
    ])  # fmt: skip
    checked = flask(tmp_path, "templates", "check", APP_PROMPTS_DIR=str(tmp_path))
    assert (checked.returncode, "t_v1.prompty:10: its test 'bad' fails" in checked.stderr) == (1, True)


def test_openapi_print(tmp_path: Path) -> None:
    done = flask(tmp_path, "openapi", "print", HOST="0.0.0.0", APP_ENV="prod")
    assert "/api/v1/templates/summarize_v1/generate" in json.loads(done.stdout)["paths"], done.stderr
    assert not (tmp_path / "service.db").exists()


def test_db_upgrade(tmp_path: Path) -> None:
    assert "was migrated" in flask(tmp_path, "db", "upgrade").stdout
    assert "up to date" in flask(tmp_path, "db", "upgrade").stdout


def test_every_bad_setting_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_NMAE=x\nPORT=0\n")
    done = flask(tmp_path, "templates", "list", APP_ENV="stage")
    assert done.returncode == 78
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["APP_NMAE", "PORT", "APP_ENV"]


def test_a_broken_file_of_prices_is_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("m:\n  input: 1\n")
    done = flask(tmp_path, "generate", "basic_chat", text="Hello", APP_PRICES_FILE="prices.yaml")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "APP_PRICES_FILE: prices.yaml:2: m.output is missing\n"


def test_usage(tmp_path: Path) -> None:
    flask(tmp_path, "generate", "basic_chat", text="Hello")
    flask(tmp_path, "generate", "summarize", text="Hello")
    heading, *lines = flask(tmp_path, "usage", "--by", "template", HOST="0.0.0.0", APP_ENV="prod").stdout.splitlines()
    assert heading.split()[:4] == ["template", "requests", "hits", "joined"]
    assert [line.split()[:2] for line in lines] == [["basic_chat_v1", "1"], ["summarize_v1", "1"], ["total", "2"]]
    assert len({len(line) for line in (heading, *lines)}) == 1, "columns stand under each other"
    body = json.loads(flask(tmp_path, "usage", "--json", "--since", "2026-01-01").stdout)
    assert (body["group_by"], body["since"], body["total"]["requests"]) == ("day", "2026-01-01T00:00:00Z", 2)
    done = flask(tmp_path, "usage", "--until", "tomorrow")
    assert (done.returncode, done.stdout) == (1, "")
    assert "until: must be a date" in done.stderr


def test_a_refused_export_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text("kept")
    done = flask(tmp_path, "history", "export", "--output", str(file), "--since", "yesterday")
    assert done.returncode != 0
    assert file.read_text() == "kept"
