import html
import json

import pytest
from flask.testing import FlaskClient

from llm_service.web.http.problems import PROBLEMS
from llm_service.web.pages.links import linked
from tests.support.constants import OWN_PAGE
from tests.support.hostile import HOSTILE
from tests.support.requests import post


def ask(client: FlaskClient, text: str = "Hello") -> str:
    return post(client, input=text).headers["Location"].split("from=")[1]


def test_history_pages(client: FlaskClient) -> None:
    assert "No generations yet" in client.get("/history").text
    for number in range(60):
        ask(client, f"Text number {number}")
    first = client.get("/history").text
    assert first.count('class="words"') == 50
    assert "Newer" not in first
    older = first.split('rel="next" href="')[1].split('"')[0]
    second = client.get(older).text
    assert second.count('class="words"') == 10
    assert "Older" not in second
    newer = second.split('rel="prev" href="')[1].split('"')[0]
    assert client.get(newer).text.count("Text number 59") == 1
    assert client.get("/history?cursor=x").status_code == 422


def test_the_history_is_searched(client: FlaskClient) -> None:
    for number in range(60):
        ask(client, f"Text number {number} <b>")
    page = client.get("/history?q=number+<b>&status=completed").text
    assert "<mark>number</mark>" in page
    assert "&lt;<mark>b</mark>&gt;" in page
    older = html.unescape(page.split('rel="next" href="')[1].split('"')[0])
    assert older.startswith("/history?q=number+%3Cb%3E&status=completed&cursor=")
    assert client.get(older).text.count('class="words"') == 10
    assert "/history/export.csv?q=number+%3Cb%3E&amp;status=completed" in page
    assert 'href="/history?status=completed"' in page, "a chip takes its filter away"
    rows = client.get("/history/rows?q=%22number+59%22").text
    assert (rows.count('class="words"'), "<html" in rows) == (1, False)
    assert "No results" in client.get("/history?q=nowhere").text
    assert "Enter a word to search for" in client.get("/history?q=!!!").text
    assert client.get("/history?q=&status=&since=").text.count('class="words"') == 50
    assert client.get("/history?status=nope").status_code == 422


@pytest.mark.shared_app
@pytest.mark.parametrize(
    "path",
    ["/", "/history", "/history/rows", "/history/export.json", "/usage", "/templates", "/templates/basic_chat", "/status",
     "/problems/csrf", "/docs", "/login"],
)  # fmt: skip
def test_pages_ignore_what_others_add_to_their_links(client: FlaskClient, path: str) -> None:
    with client.get(f"{path}?utm_source=mail&fbclid=1&fbclid=2&%00=1") as response:
        assert response.status_code == client.get(path).status_code
        assert response.status_code < 400
    with client.get("/history?q=a&q=b") as response:
        assert response.status_code == 422, "this one is known, and what it means is not"


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_exports_keep_the_filters(client: FlaskClient, format: str) -> None:
    ask(client, "first words")
    ask(client, "second words")
    export = client.get(f"/history/export.{format}?q=second")
    assert export.headers["Content-Disposition"] == f'attachment; filename="history.{format}"'
    assert ("second words" in export.text, "first words" in export.text) == (True, False)
    assert client.get("/history/export.xml").status_code == 404


def test_the_page_of_a_generation(client: FlaskClient) -> None:
    request_id = ask(client)
    page = client.get(f"/history/{request_id}").text
    for words in (
        "Echo (no model was asked): Hello",
        "System prompt",
        "basic_chat_v1",
        request_id,
        f'href="/?from={request_id}"',
    ):
        assert words in page
    assert client.get("/history/nope").status_code == 404


def test_delete_and_clear(client: FlaskClient) -> None:
    first, second = ask(client, "one"), ask(client, "two")
    assert client.post(f"/history/{first}/delete", headers=OWN_PAGE).status_code == 303
    assert client.get(f"/history/{first}").status_code == 404
    assert client.get("/history/clear").status_code == 404, "nothing changes by a GET"
    assert client.get(f"/history/{second}").status_code == 200
    assert client.post("/history/clear", headers=OWN_PAGE).headers["Location"] == "/history?notice=cleared"
    assert "No generations yet" in client.get("/history").text


def test_downloads(client: FlaskClient) -> None:
    request_id = ask(client, HOSTILE)
    text = client.get(f"/history/{request_id}/output.txt")
    assert text.text.endswith(HOSTILE)
    assert text.headers["Content-Disposition"] == f'attachment; filename="generation-{request_id}.txt"'
    export = json.loads(client.get("/history/export.json").data)
    assert export["items"][0]["input"] == HOSTILE


def test_templates(client: FlaskClient) -> None:
    page = client.get("/templates").text
    assert "/templates/basic_chat_v1" in page
    assert "/templates/summarize_v1" in page
    shown = client.get("/templates/basic_chat_v1").text
    assert "neutral, simple, professional" in shown
    assert "name: Basic chat" in shown
    missing = client.get("/templates/nope")
    assert (missing.status_code, missing.mimetype) == (404, "text/html")


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_each_problem_has_a_page(client: FlaskClient, code: str) -> None:
    page = client.get(f"/problems/{code}").text
    assert code in page
    assert str(PROBLEMS[code].status) in page


def test_texts_lead_to_what_they_name(client: FlaskClient) -> None:
    page = client.get("/problems/rate-limited").text
    assert 'Usage (<a href="/usage">/usage</a>) and <a href="/docs"><code>GET /api/v1/limits</code></a> show' in page
    assert '<a class="button" href="/">Go to the start page</a>' in page
    outside = client.get("/problems/not-authenticated", environ_base={"REMOTE_ADDR": "10.0.0.1"}).text
    assert 'sign in at <a href="/login">/login</a>' in outside
    assert '<a class="button" href="/login">Sign in</a>' in outside
    missing = client.get("/nowhere").text
    assert "<h1>Page not found</h1>" in missing
    assert 'Your generations are at <a href="/history">/history</a>' in missing
    assert '<a class="button" href="/">Go to the start page</a>' in missing
    assert "Try again</a>" not in missing
    missing = client.get("/templates/nope").text
    assert 'at <a href="/templates">/templates</a>' in missing
    assert "There is no template <q>nope</q>." in missing
    assert "GET /api" not in missing, "that is for programs"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b> at /usage.", '&lt;b&gt; at <a href="/usage">/usage</a>.'),
        ("/usage#limits & more", '<a href="/usage#limits">/usage#limits</a> &amp; more'),
        ("http://a/usage /usages /api/usage x/docs", None),
        ("GET /api/v1/templates lists", '<a href="/docs"><code>GET /api/v1/templates</code></a> lists'),
    ],
)
def test_addresses_in_texts_are_links(text: str, html: str | None) -> None:
    assert str(linked(text)) == (text if html is None else html)


def test_an_unknown_problem_is_404(client: FlaskClient) -> None:
    assert client.get("/problems/nope").status_code == 404


@pytest.mark.parametrize("path", ["/", "/history", "/generate/recent"])
def test_hostile_text_is_text(client: FlaskClient, path: str) -> None:
    request_id = ask(client, HOSTILE)
    for address in (path, f"/history/{request_id}", f"/?from={request_id}"):
        page = client.get(address).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_errors_outside_the_api_are_pages(client: FlaskClient) -> None:
    for response, status in [
        (client.get("/nowhere"), 404),
        (client.delete("/history", headers=OWN_PAGE), 405),
        (client.post("/history/clear"), 403),
        (client.get("/", headers={"Host": "evil.example"}), 400),
        (client.get("/", headers={"Authorization": "Bearer nonsense"}), 401),
    ]:
        assert (response.status_code, response.mimetype) == (status, "text/html")
        assert "<h1>" in response.text
    outside = client.get("/login", environ_base={"REMOTE_ADDR": "10.0.0.1"}).text
    assert "Sign in" in outside
    assert "echo" not in outside, "without a key the page shows nothing of the setup"


def test_an_error_for_a_script_is_a_fragment(client: FlaskClient) -> None:
    for path, status in (("/history/rows?status=nope", 422), ("/history/nope", 404)):
        page = client.get(path)
        fragment = client.get(path, headers={"HX-Request": "true"})
        assert page.status_code == fragment.status_code == status
        assert ("<html" in page.text, "<html" in fragment.text) == (True, False)
        assert "request ID" in fragment.text
