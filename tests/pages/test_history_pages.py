"""The pages of the history without a browser: what they show, and what their forms do."""

import csv
import gzip
import html
import io
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.constants import OWN_PAGE
from tests.support.hostile import HOSTILE
from tests.support.requests import BODY, GENERATE


def ask(client: FlaskClient, text: str) -> str:
    return str(client.post(GENERATE, json={**BODY, "input": text}).get_json()["request_id"])


def send(client: FlaskClient, path: str, **form: object) -> TestResponse:
    return client.post(path, data=form, headers=OWN_PAGE)


def count_of(page: str) -> str:
    return " ".join(page.split('class="found unpicked">')[1].split("</p>")[0].split())


def test_results_are_counted(client: FlaskClient) -> None:
    for number in range(52):
        ask(client, f"Text {number}")
    assert count_of(client.get("/history").text) == "52 generations"
    assert count_of(client.get('/history?q="text 7"').text) == "1 generation"
    fragment = client.get("/history/rows?q=text").text
    assert count_of(fragment) == "52 generations"
    assert '<hx-partial hx-target="#announced"' in fragment, "a script says it, too"


def test_the_day_in_until_is_included(client: FlaskClient) -> None:
    ask(client, "Today")
    day = client.get("/api/v1/history").get_json()["items"][0]["created_at"][:10]
    assert "Today" in client.get(f"/history?since={day}&until={day}").text
    assert "Today" in client.get(f"/history/export.jsonl?until={day}").text
    before = client.get("/history?until=2020-01-01").text
    assert "No generation matches these filters." in before
    assert "Every word" not in before, "there were none"
    assert "No results" in client.get(f"/history?until={day}T00:00:00Z").text, "a time means itself"
    assert client.get("/api/v1/history", query_string={"until": day}).get_json()["items"] == [], (
        "the API's is exclusive"
    )
    assert client.get("/history?until=2026-02-30").status_code == 422
    assert client.get("/history?until=9999-12-31").status_code == 200


def test_an_export_for_spreadsheets_says_what_excel_cuts(client: FlaskClient) -> None:
    ask(client, "日本語")
    page = client.get("/history?q=日本語").text
    address = html.unescape(re.search(r'href="(/history/export\.csv[^"]*)"', page)[1])  # type: ignore[index]
    export = client.get(address)
    assert export.data.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(export.data.decode("utf-8-sig")))
    assert (row["input"], row["over_excel_limit"]) == ("日本語", "")
    assert "32,767 characters" in page


def test_what_excel_would_cut_is_counted_as_excel_counts(
    make_app: Callable[..., Flask],
) -> None:
    """Most emoji are two characters there."""
    client = make_app(APP_INPUT_MAX_CHARS="40000").test_client()
    for text in ("x" * 32_767, "x" * 32_768, "🙂" * 16_383, "🙂" * 16_384):
        client.post(GENERATE, json={"template_id": "summarize_v1", "input": text})
    csv.field_size_limit(1_000_000)
    rows = csv.DictReader(io.StringIO(client.get("/history/export.csv").text))
    cut = {(row["input"][0], len(row["input"])): "input" in row["over_excel_limit"].split() for row in rows}
    assert cut == {("x", 32_767): False, ("x", 32_768): True, ("🙂", 16_383): False, ("🙂", 16_384): True}


def test_stars_lead_back_to_the_list(client: FlaskClient) -> None:
    request_id = ask(client, "Star")
    answer = send(client, f"/history/{request_id}/star", starred="1", back="/history?q=a&cursor=b5")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/history?q=a&cursor=b5")
    assert client.get(f"/api/v1/history/{request_id}").get_json()["starred"] is True
    button = client.post(
        f"/history/{request_id}/star", data={"starred": "0"}, headers={**OWN_PAGE, "HX-Request": "true"}
    )
    assert ('aria-pressed="false"' in button.text, "<html" in button.text) == (True, False)
    assert client.get(f"/api/v1/history/{request_id}").get_json()["starred"] is False
    assert send(client, "/history/nope/star", starred="1").status_code == 404


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/history", "//evil.example/history", "/\\evil.example", "/historyx", "/usage", "history", "javascript:a",
     "/history\r\nX: y", ""],
)  # fmt: skip
def test_forms_lead_back_to_pages_of_the_history_only(client: FlaskClient, back: str) -> None:
    request_id = ask(client, "Back")
    for path, form in ((f"/history/{request_id}/star", {"starred": "1"}), ("/history/selected/delete", {"id": "none"})):
        answer = send(client, path, back=back, **form)
        assert urlsplit(answer.headers["Location"])[:3] == ("", "", "/history")


def test_tags_are_typed_with_commas(client: FlaskClient) -> None:
    request_id = ask(client, HOSTILE)
    assert send(client, f"/history/{request_id}/tags", tags=f" b, a  c ,{HOSTILE[:30]}").status_code == 303
    page = client.get(f"/history/{request_id}").text
    assert client.get(f"/api/v1/history/{request_id}").get_json()["tags"] == sorted(
        [HOSTILE[:30], "a c", "b"], key=str.casefold
    )
    assert "<script>alert" not in page + client.get("/history").text
    assert 'href="/history?tag=a+c"' in page
    assert send(client, f"/history/{request_id}/tags", tags="x" * 41).status_code == 422
    assert send(client, f"/history/{request_id}/tags", tags="").status_code == 303
    assert client.get(f"/api/v1/history/{request_id}").get_json()["tags"] == []


def test_selected_rows(client: FlaskClient) -> None:
    first, second, third = (ask(client, text) for text in ("one", "two", "three"))
    export = send(client, "/history/selected/export.jsonl", id=[first, third])
    assert [text in export.text for text in ('"one"', '"two"', '"three"')] == [True, False, True]
    table = send(client, "/history/selected/export.csv", id=first)
    assert (table.data[:3], table.mimetype) == (b"\xef\xbb\xbf", "text/csv")
    deleted = send(client, "/history/selected/delete", id=[first, third, "nope"], back="/history?status=completed")
    assert deleted.headers["Location"] == "/history?status=completed&notice=deleted&count=2"
    assert "2 generations deleted." in client.get(deleted.headers["Location"]).text
    assert [client.get(f"/history/{name}").status_code for name in (first, second, third)] == [404, 200, 404]
    for path in ("delete", "export.csv"):
        nothing = send(client, f"/history/selected/{path}")
        assert "Nothing was selected." in client.get(nothing.headers["Location"]).text
    few = send(client, "/history/selected/compare", id=second)
    assert "Select 2 to 4 generations" in client.get(few.headers["Location"]).text
    some = send(client, "/history/selected/compare", id=["a", "b"])
    assert some.headers["Location"] == "/compare?ids=a,b"
    # An id that no page has must not be able to end the header.
    odd = send(client, "/history/selected/compare", id=["a\r\nX: y", "b"])
    assert (odd.status_code, odd.headers["Location"]) == (303, "/compare?ids=a%0D%0AX:+y,b")


def test_running_rows_are_asked_for_until_they_end(client: FlaskClient) -> None:
    request_id = ask(client, "Ended")
    page = client.get(f"/history/live?ids={request_id},nope,{request_id}&q=Ended").text
    assert page.count("<hx-partial") == 1
    assert f'hx-target="#row-{request_id}"' in page
    assert 'id="live"></div>' in page, "nothing runs any more"
    assert f'href="/history/{request_id}?q=Ended"' in page, "the row keeps the filters"
    assert client.get("/history/live").status_code == 200


def test_an_entry_knows_its_neighbours(client: FlaskClient) -> None:
    ids = [ask(client, text) for text in ("lynx 0", "other", "lynx 1", "lynx 2")]
    page = client.get(f"/history/{ids[2]}?q=lynx").text
    assert re.search(rf'rel="prev" href="/history/{ids[3]}\?q=lynx"', page)
    assert re.search(rf'rel="next" href="/history/{ids[0]}\?q=lynx"', page)
    assert re.search(rf'rel="next" href="/history/{ids[1]}"', client.get(f"/history/{ids[2]}").text)
    assert 'href="/history?q=lynx">History' in page


def test_a_message_is_one_of_ours(client: FlaskClient) -> None:
    assert 'class="done"' not in client.get("/history?notice=<b>").text
    assert "0 generations deleted." in client.get("/history?notice=deleted&count=<script>").text


def test_a_page_of_fifty_takes_less_than_thirty_milliseconds(client: FlaskClient) -> None:
    """Of the processor's time, with the search and the compression. It takes a quarter of that, or half."""
    for number in range(60):
        ask(client, f"Text number {number}: {'some more words ' * 10}")
    for address in ("/history", "/history?q=some+number"):
        times = []
        for _ in range(5):
            began = time.process_time()
            page = client.get(address, headers={"Accept-Encoding": "gzip"})
            times.append(time.process_time() - began)
        assert gzip.decompress(page.data).count(b'<time datetime="') >= 50, address
        assert min(times) < 0.03, address
