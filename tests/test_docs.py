"""What the documents say is true."""

import hashlib
import html
import json
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.cli.docs import generated
from llm_service.web.http.problems import PROBLEMS, STATUS_IN_PATH
from tests.servers import matrix
from tests.support.constants import ROOT

README = (ROOT / "README.md").read_text()


def test_the_readmes_call_gives_the_readmes_answer(client: FlaskClient) -> None:
    body = re.search(r"-d '(\{.*?\})'\n", README)
    shown = re.search(r"```json\n(\{.*?\n\})\n```", README, re.DOTALL)
    assert body
    assert shown
    expected, answer = json.loads(shown[1]), client.post("/api/v1/generate", json=json.loads(body[1])).get_json()
    for name in ("request_id", "latency_ms", "created_at"):
        assert type(answer.pop(name)) is type(expected.pop(name))
    assert answer == expected


@pytest.mark.parametrize("name", [".env.example", "docs/configuration.md", "docs/errors.md", "deploy/nginx.conf"])
def test_what_is_generated_is_up_to_date(name: str) -> None:
    assert generated()[name] == (ROOT / name).read_text(), f"{name} is out of date. Run: make docs"


def test_the_matrix_of_servers_is_up_to_date() -> None:
    assert matrix.generated() == matrix.PAGE.read_text(), "docs/servers.md is out of date. Run: make docs"


def test_every_error_is_in_the_table() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    for code, problem in PROBLEMS.items():
        status = (
            f"{problem.status}, in a path {STATUS_IN_PATH[code]}" if code in STATUS_IN_PATH else str(problem.status)
        )
        assert (
            page.count(f"| {status} | `{code}` | **{problem.title}.** {problem.meaning} | {problem.remedy} |") == 1
        ), code


def test_the_errors_page_and_the_document_say_the_same(client: FlaskClient) -> None:
    rows = re.findall(
        r"^\| \d.*? \| `([a-z-]+)` \| \*\*(.+?)\.\*\* (.+?) \| (.+?) \|$", (ROOT / "docs/errors.md").read_text(), re.M
    )
    assert {code for code, *_ in rows} == set(PROBLEMS)
    for code, *words in rows:
        page = html.unescape(re.sub("</?(a|code)[^>]*>", "", client.get(f"/problems/{code}").text))
        assert [text for text in words if text not in page] == [], code


def test_every_command_is_documented(app: Flask) -> None:
    pages = README + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for name, command in app.cli.commands.items():
        for path in [f"{name} {inner}" for inner in getattr(command, "commands", {})] or [name]:
            assert f"flask {path}" in pages, path


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


@pytest.mark.parametrize(("folder", "count"), [("static/vendor", 4), ("tests/vendor", 1)])
def test_vendored_files_are_the_ones_that_were_recorded(folder: str, count: int) -> None:
    table = (ROOT / folder / "VENDOR.md").read_text()
    recorded = dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", table, re.MULTILINE))
    assert len(recorded) == count
    for name, digest in recorded.items():
        assert hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest() == digest, name


def test_decisions_are_short_and_numbered() -> None:
    for path in (ROOT / "docs/decisions").glob("*.md"):
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert len(text.splitlines()) <= 16, path.name


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) >= 25
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), (path, test)
