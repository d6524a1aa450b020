"""The pages of the templates: inputs, outputs, and errors in the files."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.core.clock import HOUR_MS
from llm_service.web.pages.templates import used_ago
from tests.support.constants import ROOT, TEST_PROMPTS
from tests.support.requests import post

SUMMARIZE = (ROOT / "prompts" / "summarize_v1.prompty").read_text()


def test_the_page_of_a_template(make_app: Any) -> None:
    page = make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client().get("/templates/ticket").text
    for words in (
        "ticket_v1", "array of string", "1 to 5 items", "up to 40 characters", "customer.id", "steps[].minutes",
        "string or null", "/api/v1/templates/ticket_v1/generate", 'href="/docs#/templates/ticket_v1"',
        "no labels are refused", "always means the latest version, currently this one", 'href="/?template=ticket_v1&amp;example=1"',
    ):  # fmt: skip
        assert words in page, words


def shown(page: str) -> list[str]:
    return re.findall(r'<li class="card">.*?href="/templates/([a-z0-9_]+)"', page, re.DOTALL)


def test_the_list_is_filtered_by_words(client: FlaskClient) -> None:
    everything = client.get("/templates").text
    assert len(shown(everything)) > 10
    assert 'id="none" role="status" hidden' in everything
    assert shown(client.get("/templates?q=++MAIN+points").text) == ["summarize_v1"], "words of a description"
    assert shown(client.get("/templates?q=sql_from").text) == ["sql_from_schema_v1"]
    nothing = client.get("/templates?q=<b>nowhere").text
    assert shown(nothing) == []
    assert 'value="&lt;b&gt;nowhere"' in nothing
    assert 'id="none" role="status">' in nothing


def test_cards_say_what_answers_are_and_when_they_were_used(client: FlaskClient) -> None:
    post(client, input="Hello")
    page = client.get("/templates").text
    card = page.split('href="/templates/basic_chat_v1"')[1].split("</li>")[0]
    assert "Used within the hour" in card
    assert "JSON" not in card
    assert page.count(" ago") == 0
    assert page.count("Used within the hour") == 1
    assert "JSON" in page.split('href="/templates/classify_v1"')[1].split("</li>")[0]
    assert "Used within the hour" in client.get("/templates/basic_chat").text


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0, "within the hour"), (1, "1 h ago"), (2, "1 h ago"), (24, "23 h ago"), (72, "2 days ago")],
)
def test_when_a_template_was_used(hours: int, words: str) -> None:
    now = 494_000
    assert used_ago(now - hours, now * HOUR_MS + HOUR_MS // 2) == words


def test_defaults_are_shown_as_people_type_them(make_app: Any) -> None:
    page = make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client().get("/templates/ticket").text
    assert "Default: <code>true</code>" in page
    assert "True" not in page
    assert "System prompt of the example" in page


def test_options_that_a_request_may_set(client: FlaskClient) -> None:
    page = client.get("/templates/basic_chat").text
    assert "<h2>Options</h2>" in page
    assert '<code class="name">temperature</code>' in page


def test_an_unknown_template_is_404(client: FlaskClient) -> None:
    assert client.get("/templates/nope").status_code == 404


@pytest.fixture(name="reloading")
def _reloading(make_app: Any, tmp_path: Path) -> Any:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "summarize_v1.prompty").write_text(SUMMARIZE)
    return make_app(APP_PROMPTS_DIR=str(folder)), folder


def test_errors_are_shown_until_they_are_fixed(reloading: Any) -> None:
    app, folder = reloading
    client, registry = app.test_client(), services_of(app).template_registry
    (folder / "summarize_v1.prompty").write_text(SUMMARIZE.replace("name: Summarize", "nome: Summarize"))
    registry.refresh()
    for path in ("/templates", "/templates/summarize"):
        page = client.get(path).text
        assert "Some prompt files have errors" in page
        assert "summarize_v1.prompty:2: name is missing" in page
    assert 'class="dot warn"' in client.get("/").text
    assert "some files have errors" in client.get("/status").text
    (folder / "summarize_v1.prompty").write_text(SUMMARIZE)
    registry.refresh()
    assert "have errors" not in client.get("/templates").text


def test_used_revisions_are_listed_with_what_changed_since(reloading: Any) -> None:
    app, folder = reloading
    client = app.test_client()
    old = client.get("/api/v1/templates/summarize_v1").get_json()["revision"]
    unused = client.get("/templates/summarize").text
    assert "not used yet" in unused
    assert "Show changes" not in unused
    post(client, template_id="summarize_v1", input="Hello")
    assert "not used yet" not in client.get("/templates/summarize").text
    (folder / "summarize_v1.prompty").write_text(SUMMARIZE.replace("the main points", "all points"))
    services_of(app).template_registry.refresh()
    new = client.get("/api/v1/templates/summarize_v1").get_json()["revision"]
    page = client.get("/templates/summarize").text
    assert f'href="/templates/summarize_v1/revisions/{old}"' in page
    assert "Show changes" in page
    link = f"/templates/summarize_v1/diff?from={old}&to={new}"
    assert link.replace("&", "&amp;") in page
    assert re.search(r"<ins[^>]*>.*all", client.get(link).text, re.DOTALL)


def test_a_page_never_shows_the_folder(reloading: Any) -> None:
    app, folder = reloading
    (folder / "x_v1.prompty").write_text("nothing")
    services_of(app).template_registry.refresh()
    client = app.test_client()
    for path in ("/templates", "/api/v1/status", "/api/v1/ready"):
        assert str(folder) not in client.get(path).text
        assert "x_v1.prompty:1: " in client.get(path).text
