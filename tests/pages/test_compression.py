"""What is compressed, for whom, and what stays as it is. `Accept-Encoding` is that of Chromium."""

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from llm_service.web.http import compression, static_files
from llm_service.web.http.static_files import StaticFiles
from tests.support.constants import OWN_PAGE, ROOT
from tests.support.keys import make_key, signed_in, token_of
from tests.support.requests import BODY, GENERATE, post

BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd", **OWN_PAGE}
APP_CSS = "/static/css/app.css"


def get(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(address, headers={**BROWSER, **named}, buffered=True)


def is_packed(response: TestResponse) -> bool:
    return response.headers.get("Content-Encoding") == "gzip"


def without_ids(page: bytes) -> bytes:
    """Without what names the next submit of a form."""
    return re.sub(rb'(name="submission" value=)"[0-9a-f]{32}"', rb"\1", page)


@pytest.mark.shared_app
@pytest.mark.parametrize(
    "address", ["/", "/templates", "/history", "/usage", "/docs", "/openapi.json", "/problems/csrf", APP_CSS,
                "/static/vendor/htmx/htmx.min.js", "/static/vendor/swagger-ui/swagger-ui.css"],
)  # fmt: skip
def test_what_a_browser_loads_is_compressed(client: FlaskClient, address: str) -> None:
    packed, plain = get(client, address), get(client, address, Accept_Encoding="identity")
    assert (packed.status_code, is_packed(packed), is_packed(plain)) == (200, True, False)
    assert without_ids(gzip.decompress(packed.data)) == without_ids(plain.data)
    assert len(packed.data) < len(plain.data) / 2
    for response in (packed, plain):
        assert "Accept-Encoding" in response.headers["Vary"]
        assert int(response.headers["Content-Length"]) == len(response.data)
    assert packed.mimetype == plain.mimetype
    head = client.head(address, headers=BROWSER)
    assert head.data == b""
    # Ids of a page's own do not always pack to the same length.
    assert abs(int(head.headers["Content-Length"]) - len(packed.data)) <= (
        32 if without_ids(plain.data) != plain.data else 0
    )


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("asked", "packs"),
    [("", False), ("identity", False), ("deflate, br", False), ("gzip;q=0", False), ("*;q=0", False), ("gzip;q=x", False),
     ("gzip;q=0.5, identity", False), ("gzip" + "," * compression.MAX_ACCEPT_CHARS, False), ("gzip", True), ("GZIP", True),
     ("*", True), ("br;q=1, gzip;q=0.2", True), ("gzip;q=0.5, identity;q=0.4", True), ("gzip, *;q=0", True)],
)  # fmt: skip
def test_the_client_decides(client: FlaskClient, asked: str, packs: bool) -> None:
    for address in ("/", APP_CSS, "/openapi.json"):
        assert is_packed(get(client, address, Accept_Encoding=asked)) is packs, address


def test_streams_answers_of_the_api_and_small_bodies_stay_as_they_are(client: FlaskClient) -> None:
    request_id = client.post(GENERATE, json={**BODY, "input": "word " * 1000}, headers=BROWSER).get_json()["request_id"]
    again = client.post(GENERATE, json={**BODY, "input": "word " * 1000}, headers=BROWSER)
    stream = client.post(GENERATE, json={**BODY, "input": "word " * 1000, "stream": True}, headers=BROWSER)
    for response in [
        again, stream,
        get(client, f"/generate/{request_id}/events"),
        get(client, f"/api/v1/history/{request_id}"),
        get(client, "/history/export.csv"),
        get(client, "/static/img/icon.svg"),
        get(client, "/status"),
        get(client, "/static/nowhere.css"),
    ]:  # fmt: skip
        assert not is_packed(response), response.request.path
    assert is_packed(get(client, f"/history/{request_id}/output.txt"))


@pytest.mark.shared_app
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_that_another_site_asks_for_tells_nothing_by_its_length(client: FlaskClient, site: str) -> None:
    page = get(client, "/history?q=guess", Sec_Fetch_Site=site)
    assert (page.status_code, is_packed(page)) == (200, False)
    assert is_packed(get(client, "/history?q=guess", Sec_Fetch_Site="none"))
    assert is_packed(get(client, APP_CSS, Sec_Fetch_Site=site)), "it contains no secret"


def test_each_response_masks_the_token_of_its_session(make_app: Callable[..., Flask]) -> None:
    app = make_app(APP_AUTH="required")
    client = signed_in(app, make_key(app)[0])
    tokens = {token_of(client) for _ in range(20)}
    assert len(tokens) == 20
    assert len({token[64:] for token in tokens}) == 20
    for token in tokens:
        assert post(client, csrf_token=token).status_code == 303
        assert post(client, csrf_token=f"{token[:-1]}{'1' if token[-1] == '0' else '0'}").status_code == 403
        assert post(client, csrf_token=token[64:]).status_code == 403
    page = client.get("/").text
    assert len(set(re.findall("[0-9a-f]{128}", page))) == 1, "one mask in a response"


@pytest.mark.shared_app
@pytest.mark.parametrize("address", [APP_CSS, "/openapi.json"])
def test_each_encoding_has_a_tag_of_its_own(client: FlaskClient, address: str) -> None:
    tags = []
    for encoding in ("gzip", "identity"):
        first = get(client, address, Accept_Encoding=encoding)
        tags.append(first.headers["ETag"])
        again = get(client, address, Accept_Encoding=encoding, If_None_Match=tags[-1])
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tags[-1])
        assert again.headers["Vary"] == "Accept-Encoding"
        assert "Content-Encoding" not in again.headers or is_packed(again)
    assert tags[0] != tags[1]
    assert get(client, address, If_None_Match=tags[1]).status_code == 200


def test_the_document_is_asked_for_again_only_if_it_changed(client: FlaskClient) -> None:
    first = get(client, "/openapi.json")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert get(client, "/openapi.json", If_None_Match=first.headers["ETag"]).status_code == 304


@pytest.mark.shared_app
def test_a_part_of_a_file_is_a_part_of_what_it_holds(client: FlaskClient) -> None:
    whole = (ROOT / "static/css/app.css").read_bytes()
    part = get(client, APP_CSS, Range="bytes=10-19")
    assert (part.status_code, part.data, is_packed(part)) == (206, whole[10:20], False)
    tag = get(client, APP_CSS).headers["ETag"]
    assert get(client, APP_CSS, Range="bytes=10-19", If_Range=tag).data == whole, "the tag is of another encoding"


def test_an_immutable_file_stays_so_when_it_is_checked(client: FlaskClient) -> None:
    first = get(client, f"{APP_CSS}?v=0")
    again = get(client, f"{APP_CSS}?v=0", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.headers["Cache-Control"]) == (304, first.headers["Cache-Control"])
    assert "immutable" in first.headers["Cache-Control"]


def test_a_file_is_compressed_once_and_again_when_it_changed(app: Flask, tmp_path: Path) -> None:
    path, files = tmp_path / "a.css", StaticFiles(str(tmp_path))

    def sent() -> bytes:
        with app.test_request_context(headers=BROWSER):
            return files.send("a.css").get_data()

    path.write_text("a" * 5000)
    first = sent()
    assert sent() == first
    path.write_text("b" * 5000)
    os.utime(path, ns=(1, 1))
    second = sent()
    assert (gzip.decompress(first), gzip.decompress(second)) == (b"a" * 5000, b"b" * 5000)
    os.truncate(path, static_files.MAX_BYTES + 1)
    with app.test_request_context(headers=BROWSER):
        response = files.send("a.css")
        assert response.content_length == static_files.MAX_BYTES + 1
        response.close()


@pytest.mark.shared_app
def test_a_large_body_is_compressed_in_a_thread(client: FlaskClient) -> None:
    name = "vendor/swagger-ui/swagger-ui-bundle.js"
    whole = (ROOT / "static" / name).read_bytes()
    assert len(whole) > compression.MAX_BYTES_ON_LOOP
    assert gzip.decompress(get(client, f"/static/{name}").data) == whole
