"""What a request may hold: the parts of its headers, the fields of its form, the values of its JSON."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.core.errors import InvalidCharacter
from llm_service.web.http.errors import RequestError, TooLarge
from llm_service.web.http.request import FORM_TYPE, MAX_FORM_FIELDS, PARSED_HEADERS, parse_form
from llm_service.web.http.strict_json import MAX_VALUES, parse_json, reject_unstorable
from tests.support.constants import TEST_PROMPTS

PIECES = [
    "%",
    "%4",
    "%41",
    "\\",
    "\\x41",
    "\\u",
    "+",
    "=",
    "a",
    "é",
    "%C3%A9",
    "%ff",
    "\n",
    "\\\n",
    "&",
    "%5C",
    "%0a",
    "%%",
]


OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def cpu_s(work: Callable[[], Any]) -> float:
    """The least of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("name", PARSED_HEADERS)
def test_a_header_of_many_parts_is_refused_before_it_is_parsed(app: Flask, name: str) -> None:
    client = app.test_client(use_cookies=False)
    header = name.removeprefix("HTTP_").replace("_", "-").title()
    response = client.get("/api/v1/health", headers={header: "a," * 10_000})
    assert (response.status_code, response.get_json()["error"]) == (413, "too-large")
    assert client.get("/history", headers={header: "a," * 10_000}).status_code == 413


def test_a_form_has_a_bound_of_fields(client: FlaskClient) -> None:
    def post(fields: int) -> int:
        body = "template_id=basic_chat_v1&" + "&".join(["p.x=1"] * (fields - 1))
        return client.post("/generate/payload", data=body, content_type=FORM_TYPE, headers=OWN_PAGE).status_code

    assert post(MAX_FORM_FIELDS) == 200
    assert post(MAX_FORM_FIELDS + 1) == 413
    assert post(5000) == 413


def test_a_form_in_parts_is_refused(client: FlaskClient) -> None:
    body = b'--a\r\nContent-Disposition: form-data; name="input"\r\n\r\nHi\r\n--a--\r\n'
    media_type = "multipart/form-data; boundary=a"
    response = client.post("/generate/payload", data=body, content_type=media_type, headers=OWN_PAGE)
    assert response.status_code == 415


def test_a_form_is_read_as_the_standard_library_reads_it() -> None:
    choose = random.Random(1)
    for _ in range(3000):
        text = "".join(choose.choices(PIECES, k=8))
        assert parse_form(text.encode()) == parse_qsl(text, keep_blank_values=True, errors="replace"), text


@pytest.mark.parametrize("piece", [b"%41", b"%ff", b"%E4%BD%A0", b"\\", b"+", b"a%41\\"])
def test_a_form_is_decoded_in_linear_time(piece: bytes) -> None:
    some, more = b"a=" + piece * 100_000, b"a=" + piece * 200_000
    assert cpu_s(lambda: parse_form(more)) < 2.5 * cpu_s(lambda: parse_form(some)) + 0.005


def test_percent_signs_that_are_no_escapes_are_bounded() -> None:
    assert parse_form(b"a=100%") == [("a", "100%")]
    with pytest.raises(TooLarge):
        parse_form(b"a=" + b"%" * 100_000)


def test_a_list_s_lines_are_bounded(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client()
    form = {"template_id": "ticket_v1", "input": "Hi", "p.labels": "x\n" * 100_000}
    response = client.post("/generate/payload", data=form, headers=OWN_PAGE)
    assert response.status_code == 422
    assert "lines" in response.text


def test_json_has_a_bound_of_values() -> None:
    assert len(parse_json(b"[" + b"1," * (MAX_VALUES - 2) + b"1]")) == MAX_VALUES - 1
    for body in (
        b"[" + b"1," * MAX_VALUES + b"1]",
        b"[" + b"[]," * (MAX_VALUES // 2) + b"[]]",
        b"{" + b",".join(b'"%d":{}' % n for n in range(MAX_VALUES // 2 + 1)) + b"}",
        b"[" * 32 + b'""' * 500_000 + b"," * MAX_VALUES,
    ):
        with pytest.raises(TooLarge):
            parse_json(body)


def test_commas_in_texts_are_not_values() -> None:
    assert parse_json(b'["' + b",[{" * 100_000 + b'"]') == [",[{" * 100_000]


def test_a_long_key_costs_nothing_for_each_value_below_it() -> None:
    def below(chars: int) -> Callable[[], None]:
        values = {"k" * chars: {str(n): 0 for n in range(MAX_VALUES)}}
        return lambda: reject_unstorable(values)

    assert cpu_s(below(500_000)) < 5 * cpu_s(below(10)) + 0.005


def test_an_error_names_the_keys_shortened() -> None:
    with pytest.raises(InvalidCharacter) as caught:
        reject_unstorable({"a": [{"k" * 1000: {"b": "x\x00"}}]})
    assert [fault.field for fault in caught.value.fields] == ["a." + "k" * 64 + ".b"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda n: b'"' + b"\\u00e9" * n + b'"', id="escapes"),
        pytest.param(lambda n: b'"' + b"\\ud800" * n + b'"', id="halves of pairs"),
        pytest.param(lambda n: b'"' + b'\\"' * n + b'"', id="escaped quotes"),
        pytest.param(lambda n: b'"' + b",[" * n + b'"', id="marks in a text"),
        pytest.param(lambda n: b'"' * 2 * n, id="quotes"),
        pytest.param(lambda n: b'"' + b'"' + b"[" * n, id="brackets"),
        pytest.param(lambda n: b" " * n, id="spaces"),
        pytest.param(lambda n: b"[" + b'"a",' * (n // 40) + b"1]", id="values"),
        pytest.param(lambda n: b"1" * n, id="digits"),
        pytest.param(lambda n: b"0." + b"1" * n, id="decimals"),
        pytest.param(lambda n: "漢".encode() * n, id="no JSON"),
    ],
)
def test_json_is_read_in_linear_time(body: Callable[[int], bytes]) -> None:
    def read(text: bytes) -> None:
        with suppress(RequestError, InvalidCharacter):
            reject_unstorable(parse_json(text))

    some, more = body(100_000), body(200_000)
    assert cpu_s(lambda: read(more)) < 2.5 * cpu_s(lambda: read(some)) + 0.005
