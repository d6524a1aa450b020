"""Bad bodies and bad texts, row by row; and that each row of the list of bad inputs has its test."""

import ast
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from tests.support import bad_requests
from tests.support.bad_input import ELSEWHERE, ROWS, Bad
from tests.support.constants import ROOT, TEST_PROMPTS

GOOD = {"template_id": "ticket_v1", "input": "Hi", "parameters": {"labels": ["bug"], "budget": 1}}


def raw(data: bytes, content_type: str | None = "application/json", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"data": data, "content_type": content_type, "headers": named}


def ask(**changes: Any) -> dict[str, Any]:
    """The good body with changes, as a body of its own JSON text: NaN and halves of pairs may stand in it."""
    return raw(json.dumps({**GOOD, **changes}).encode())


def given(**parameters: Any) -> dict[str, Any]:
    return ask(parameters={**GOOD["parameters"], **parameters})  # type: ignore[dict-item]


def number(text: str) -> dict[str, Any]:
    """The body with that text as a number."""
    return raw(json.dumps({**GOOD, "parameters": {"urgency": "HERE"}}).replace('"HERE"', text).encode())


INVALID, FIELD, CHARACTER, MEDIA = "invalid-json", "invalid-input", "invalid-character", "unsupported-media-type"
BODIES = [
    Bad(1, "empty", 400, INVALID, raw(b"")),
    Bad(2, "truncated", 400, INVALID, raw(b'{"input":"a"')),
    Bad(3, "trailing garbage", 400, INVALID, raw(b"{} x")),
    Bad(3, "two documents", 400, INVALID, raw(b"{}{}")),
    Bad(4, "byte order mark", 400, INVALID, raw(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())),
    Bad(5, "UTF-16", 400, INVALID, raw(json.dumps(GOOD).encode("utf-16"))),
    Bad(5, "UTF-16 without a mark", 400, INVALID, raw(json.dumps(GOOD).encode("utf-16-le"))),
    Bad(6, "Latin-1", 400, INVALID, raw(b'{"input": "\xe9"}')),
    Bad(7, "overlong UTF-8", 400, INVALID, raw(b'{"input": "\xc0\xaf"}')),
    Bad(7, "a surrogate in UTF-8", 400, INVALID, raw(b'{"input": "\xed\xa0\x80"}')),
    Bad(8, "a control byte in a text", 400, INVALID, raw(b'{"input": "\x01"}')),
    Bad(8, "a raw NUL", 400, INVALID, raw(b'{"input": "\x00"}')),
    Bad(9, "single quotes", 400, INVALID, raw(b"{'input': 'a'}")),
    Bad(9, "a comment", 400, INVALID, raw(b"{} // fine")),
    Bad(9, "a last comma", 400, INVALID, raw(b'{"input": "a",}')),
    Bad(10, "a key twice", 400, "duplicate-key", raw(b'{"input": "a", "input": "b"}')),
    Bad(10, "the same key, escaped", 400, "duplicate-key", raw(b'{"input": "a", "\\u0069nput": "b"}')),
    Bad(10, "a key twice, inside", 400, "duplicate-key", raw(b'{"parameters": [{"a": 1, "a": 1}]}')),
    *[Bad(11, word, 400, INVALID, number(word)) for word in ("NaN", "Infinity", "-Infinity", "nan", "+1", "01", ".5", "0x1")],
    Bad(12, "NaN where nobody looks", 400, INVALID, raw(b'{"parameters": {"whatever": [NaN]}}')),
    Bad(13, "1e999", 422, FIELD, number("1e999")),
    Bad(13, "1e999 where any number may be", 422, FIELD, raw(json.dumps({**GOOD, "parameters": {"labels": ["bug"], "budget": "HERE"}}).replace('"HERE"', "1e999").encode())),
    Bad(14, "500 lists deep", 400, "too-deep", raw(b"[" * 500 + b"]" * 500)),
    Bad(14, "33 deep", 400, "too-deep", raw(b"[" * 33 + b"]" * 33)),
    Bad(14, "32 deep", 422, FIELD, raw(b"[" * 32 + b"]" * 32)),
    Bad(15, "5,000 deep", 400, "too-deep", raw(b"[" * 5000 + b"]" * 5000)),
    Bad(15, "100,000 deep", 400, "too-deep", raw(b"[" * 100_000)),
    Bad(16, "100,000 objects deep", 400, "too-deep", raw(b'{"a":' * 100_000)),
    Bad(17, "a number of 4,301 digits", 400, INVALID, number("9" * 4301)),
    Bad(17, "a number of a million digits", 400, INVALID, number("9" * 1_000_000)),
    Bad(17, "a fraction of 100,000 digits", 422, FIELD, number("0." + "9" * 100_000)),
    Bad(18, "1e30", 422, FIELD, number("1e30")),
    Bad(19, "2^63", 422, FIELD, number(str(2**63))),
    Bad(20, "a number as text", 422, FIELD, given(urgency="3")),
    Bad(21, "10.7 for a whole number", 422, FIELD, given(urgency=2.7)),
    Bad(22, "true for a number", 422, FIELD, given(urgency=True)),
    Bad(22, "0 for false", 422, FIELD, given(polite=0)),
    Bad(22, "a text for false", 422, FIELD, ask(stream="false")),
    Bad(23, "a fraction as text", 422, FIELD, given(budget="1.0")),
    Bad(24, "below the least", 422, FIELD, given(budget=-0.1)),
    Bad(24, "above the most", 422, FIELD, given(urgency=6)),
    Bad(25, "an unknown field", 422, FIELD, ask(admin=True)),
    Bad(25, "another server", 422, FIELD, ask(base_url="http://169.254.169.254/")),
    Bad(25, "another server's address", 422, FIELD, ask(api_base="http://evil.example", host="evil.example")),
    *[Bad(26, f"not an object: {root}", 422, FIELD, raw(root.encode())) for root in ("[]", "null", '"x"', "1", "true")],
    Bad(27, "__proto__", 422, FIELD, ask(__proto__={"admin": True})),
    Bad(27, "constructor", 422, FIELD, given(constructor={"prototype": {}})),
    Bad(28, "2 MiB", 413, "too-large", raw(b" " * 2 * 1024 * 1024)),
    Bad(28, "a byte too many", 413, "too-large", raw(b" " * (1024 * 1024 + 1))),
    Bad(30, "80,000 unknown fields", 413, "too-large", raw(json.dumps({f"k{n}": 0 for n in range(80_000)}).encode())),
    Bad(30, "80,000 parameters", 413, "too-large", ask(parameters={f"k{n}": 0 for n in range(80_000)})),
    Bad(30, "9,000 parameters", 422, FIELD, ask(parameters={f"k{n}": 0 for n in range(9_000)})),
    Bad(30, "500,000 strings and nothing between them", 413, "too-large", raw(b"[" * 32 + b'""' * 500_000 + b"," * 10_000)),
    Bad(30, "61,000 members below a key of 250 kB", 413, "too-large", ask(parameters={"k" * 250_000: {f"{n}": 0 for n in range(61_000)}})),
    Bad(31, "gzip", 415, MEDIA, raw(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip")),
    Bad(31, "a gzip bomb", 415, MEDIA, raw(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")),
    Bad(31, "gzip twice", 415, MEDIA, raw(b"{}", Content_Encoding="identity, gzip")),
    Bad(32, "text/plain", 415, MEDIA, raw(b"{}", "text/plain")),
    Bad(32, "no type", 415, MEDIA, raw(b"{}", None)),
    Bad(32, "a form", 415, MEDIA, raw(b"input=a", "application/x-www-form-urlencoded")),
    Bad(32, "multipart", 415, MEDIA, raw(b"--a--", "multipart/form-data; boundary=a")),
    Bad(32, "nearly JSON", 415, MEDIA, raw(b"{}", "application/json-patch+json")),
    Bad(33, "another charset", 415, MEDIA, raw(b"{}", "application/json; charset=utf-16")),
    Bad(34, "a boundary of 1 MB", 415, MEDIA, raw(b"--", "multipart/form-data; boundary=" + "x" * 1_000_000)),
    Bad(35, "XML wanted", 406, "not-acceptable", raw(json.dumps(GOOD).encode(), Accept="application/xml")),
]  # fmt: skip

TEXTS = [
    Bad(37, "NUL in the input", 422, CHARACTER, ask(input="a\x00b")),
    Bad(37, "NUL in a parameter", 422, CHARACTER, given(notes="a\x00b")),
    Bad(37, "NUL in a list", 422, CHARACTER, given(labels=["a\x00b"])),
    Bad(37, "NUL deep inside", 422, CHARACTER, given(customer={"tags": ["a\x00b"]})),
    Bad(37, "NUL in a name", 422, CHARACTER, given(**{"a\x00b": 1})),
    Bad(37, "NUL in a template's name", 422, CHARACTER, ask(template_id="a\x00b")),
    Bad(37, "NUL in a model's name", 422, CHARACTER, ask(model="a\x00b")),
    Bad(38, "half a pair", 422, CHARACTER, ask(input="\ud800")),
    Bad(38, "the other half, inside", 422, CHARACTER, given(customer={"tags": ["\udfff"]})),
    Bad(38, "half a pair in a name", 422, CHARACTER, given(**{"\ud800": 1})),
    Bad(45, "white space", 422, FIELD, ask(input=" \t\n\u3000\u2003")),
    Bad(46, "a character too many", 422, FIELD, ask(input="x" * 1001)),
    Bad(46, "a character of four bytes too many", 422, FIELD, ask(input="😀" * 1001)),
]  # fmt: skip

# Strange, and right: each comes back as it was.
KEPT = [
    (39, "the other direction", "\u202etxt.exe\u2066 a\u2069"),
    (40, "a family", "👨‍👩‍👧‍👦 \U0001f3f4\U000e0067\U000e0062\U000e007f"),
    (41, "marks upon marks", "e" + "\u0301" * 999),
    (43, "all ends of a line", "a\u2028b\u2029c\rd\ne\r\nf"),
    (44, "an event inside", 'x\n\ndata: x\nevent: done\ndata: {"output": 1}\n\n'),
    (46, "exactly the most", "x" * 1000),
    (46, "exactly the most, of four bytes each", "😀" * 1000),
    (49, "letters that nobody sees", "Hi\U000e0041\U000e0042"),
    (50, "no characters", "\ufffe\uffff\U0001ffff"),
]


@pytest.fixture(scope="module", name="client")
def _client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """One for all rows: what is refused leaves no trace."""
    folder = tmp_path_factory.mktemp("bad")
    environ = {"DATABASE_URL": f"sqlite:///{folder}/test.db", "APP_PROMPTS_DIR": str(TEST_PROMPTS)}
    app = create_app(Settings.from_env(environ))
    yield app.test_client()
    services_of(app).close()


@pytest.fixture(autouse=True)
def _begin_empty(client: FlaskClient) -> None:
    client.delete("/api/v1/history")


def answers(client: FlaskClient, row: Bad) -> Any:
    with client.open(row.path, method=row.method, **row.sent) as response:
        assert (response.status_code, (response.get_json(silent=True) or {}).get("error")) == (row.status, row.error)
        if row.error:
            assert response.mimetype == "application/problem+json"
            assert len(response.data) < 20_000
        return response


@pytest.mark.parametrize("row", [*BODIES, *TEXTS], ids=str)
def test_it_is_refused_and_leaves_no_trace(client: FlaskClient, row: Bad) -> None:
    answers(client, row)
    assert client.get("/api/v1/history").get_json()["items"] == []


@pytest.mark.parametrize("path", ["templates/ticket_v1/generate", "templates/ticket_v1/preview"])
@pytest.mark.parametrize("row", [*BODIES, *TEXTS], ids=str)
def test_every_body_is_read_as_strictly(client: FlaskClient, row: Bad, path: str) -> None:
    """The bodies of the other addresses: what they refuse for being no JSON, they refuse alike."""
    response = client.post(f"/api/v1/{path}", **row.sent)
    assert response.status_code == row.status
    if row.status != 422:
        assert response.get_json()["error"] == row.error


@pytest.mark.parametrize(("number", "name", "text"), KEPT)
def test_it_is_taken_as_it_is(client: FlaskClient, number: int, name: str, text: str) -> None:
    answer = client.post("/api/v1/generate", json={**GOOD, "input": text}).get_json()
    assert answer["user_prompt"] == text
    entry = client.get(f"/api/v1/history/{answer['request_id']}")
    assert entry.get_json()["input"] == text
    assert client.get(f"/history/{answer['request_id']}").status_code == 200


def test_an_output_with_events_in_it_is_one_event(upstream_app: Flask) -> None:
    """Row 44, as a stream."""
    body = {"template_id": "basic_chat_v1", "input": KEPT[4][2], "stream": True}
    events = upstream_app.test_client().post("/api/v1/generate", json=body).text.split("\n\n")[:-1]
    assert [event.split("\n")[0] for event in events if event.startswith("event: done")] == ["event: done"]
    assert len([event for event in events if event.startswith("event: start")]) == 1


def titles(client: FlaskClient, text: str) -> str:
    answer = client.post("/api/v1/generate", json={**GOOD, "input": text}).get_json()
    return client.get(f"/history/{answer['request_id']}").text


def test_a_direction_is_written_out_in_titles(client: FlaskClient) -> None:
    """Row 39."""
    page = titles(client, "\u202efdp.exe")
    assert "<title>[U+202E]fdp.exe" in page
    assert "<bdi>[U+202E]fdp.exe</bdi>" in page


def test_a_title_of_nothing_says_so(client: FlaskClient) -> None:
    """Row 47."""
    page = titles(client, "\u200b\u200d\ufeff\u2060")
    assert "<bdi>(no text)</bdi>" in page
    assert client.get("/history").text.count("(no text)") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hi\U000e0041\U000e0042", "2 hidden characters"),
        ("a\u200bb", "1 hidden character<"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
        ("👨‍👩‍👧‍👦 é ❤️", None),
    ],
)
def test_hidden_characters_are_reported(client: FlaskClient, text: str, words: str | None) -> None:
    """Row 49."""
    page = titles(client, text)
    assert (words in page) if words else ("hidden character" not in page)


def test_of_many_wrong_fields_some_are_named(client: FlaskClient) -> None:
    problem = client.post("/api/v1/generate", json={**GOOD, **{f"k{n}": 0 for n in range(1000)}}).get_json()
    assert len(problem["errors"]) == 50
    assert problem["detail"].endswith("and 950 more.")


@pytest.mark.parametrize("end", [b'"', b"", b"\\", b'" ]'])
def test_a_string_that_does_not_close_is_read_once(client: FlaskClient, end: bytes) -> None:
    """A mebibyte of escaped quotes behind many brackets: were each of them tried as a beginning, it would take hours."""
    body = b'{"input": [' + b"[]," * 33 + b'"' + b'\\"' * 500_000 + end
    response = client.post("/api/v1/generate", data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["error"]) == (400, INVALID)


def test_every_row_has_a_test() -> None:
    here = {row.number for row in (*BODIES, *TEXTS, *bad_requests.ROWS)} | {number for number, *_ in KEPT}
    named = {47} | bad_requests.NAMED
    assert here | named | ELSEWHERE.keys() == set(ROWS)


@pytest.mark.parametrize("test", sorted({test for tests in ELSEWHERE.values() for test in tests}))
def test_the_tests_elsewhere_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in [
        node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
