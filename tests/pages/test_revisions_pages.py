"""The source of a used revision, and the changes between two."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from tests.support.constants import ROOT
from tests.support.requests import GENERATE

SOURCE = (ROOT / "prompts" / "summarize_v1.prompty").read_text()
ASKED = {"template_id": "summarize_v1", "input": "Hello"}


@pytest.fixture(name="edited")
def _edited(make_app: Any, tmp_path: Path) -> tuple[Flask, str, str]:
    """An app whose template was used, edited, and not used since; with both revisions."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "summarize_v1.prompty").write_text(SOURCE)
    app = make_app(APP_PROMPTS_DIR=str(folder))
    old = app.test_client().post(GENERATE, json=ASKED).get_json()["template_revision"]
    (folder / "summarize_v1.prompty").write_text(SOURCE.replace("name: Summarize", "name: <Shorten>"))
    services_of(app).template_registry.refresh()
    return app, old, services_of(app).templates.get("summarize_v1").revision


def test_a_used_revision_keeps_its_source(edited: tuple[Flask, str, str]) -> None:
    app, old, new = edited
    client = app.test_client()
    page = client.get(f"/templates/summarize_v1/revisions/{old}").text
    assert "name: Summarize" in page
    assert "An earlier revision. First used <time" in page
    assert f'href="/templates/summarize_v1/diff?from={old}&amp;to={new}"' in page
    now = client.get(f"/templates/summarize_v1/revisions/{new}").text
    assert "name: &lt;Shorten&gt;" in now
    assert "The current revision." in now


@pytest.mark.parametrize("query", ["", "?from={old}&to={new}", "?from={old}", "?utm_source=mail"])
def test_two_revisions_are_compared(edited: tuple[Flask, str, str], query: str) -> None:
    app, old, new = edited
    page = app.test_client().get("/templates/summarize_v1/diff" + query.format(old=old, new=new)).text
    assert "name: <del>Summarize</del>" in page
    assert "name: <ins>&lt;Shorten&gt;</ins>" in page
    assert f"revision {old}</span> (1 line)" in page
    assert "unchanged lines</summary>" in page


def test_a_single_revision_has_no_changes(client: FlaskClient) -> None:
    page = client.get("/templates/basic_chat_v1/diff").text
    assert "<select" not in page
    assert "Only one revision was used so far." in page


@pytest.mark.parametrize(
    "path", ["nope/diff", "nope/revisions/000000000000", "basic_chat_v1/revisions/nope", "basic_chat_v1/revisions/%00",
             "basic_chat_v1/diff?from=nope", "%00/diff"],
)  # fmt: skip
def test_what_is_not_stored_is_404(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/templates/{path}")
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"
