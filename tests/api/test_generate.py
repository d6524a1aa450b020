"""POST /generate: the answer to the letter, the cache, bad input of every kind, and each failure of the provider."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.web.http.problems import PROBLEMS
from tests.support.constants import KEY_CANARY
from tests.support.requests import BODY, FIELDS
from tests.support.requests import GENERATE as URL
from tests.support.upstream_faults import ANSWERS, FAILURES

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_the_answer_to_the_letter(client: FlaskClient) -> None:
    response = client.post(URL, json=BODY)
    answer = response.get_json()
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert answer.keys() == FIELDS
    assert UUID7.fullmatch(answer["request_id"])
    assert response.headers["X-Request-ID"] == answer["request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer["created_at"])
    assert (answer["template_id"], answer["model"], answer["status"]) == ("basic_chat_v1", "echo", "completed")
    assert answer["user_prompt"] == "Hello"
    assert "simple" in answer["system_prompt"]
    assert answer["input_tokens"] + answer["output_tokens"] == answer["total_tokens"]
    assert re.fullmatch(r"\w+;dur=[\d.]+(, \w+;dur=[\d.]+)*", response.headers["Server-Timing"])


def test_the_second_answer_comes_from_the_cache_and_costs_nothing(client: FlaskClient) -> None:
    first, second = client.post(URL, json=BODY), client.post(URL, json=BODY)
    assert first.headers["Cache-Status"] == "llm-service; fwd=miss; stored"
    assert second.headers["Cache-Status"] == "llm-service; hit"
    fresh, cached = first.get_json(), second.get_json()
    assert (fresh["cached"], cached["cached"], cached["cost_usd"]) == (False, True, "0")
    assert fresh["request_id"] != cached["request_id"]
    assert (fresh["output"], fresh["total_tokens"]) == (cached["output"], cached["total_tokens"])


@pytest.mark.parametrize(
    ("header", "statuses"),
    [
        ("no-cache", ["fwd=request; stored", "fwd=request; stored"]),
        ("no-store", ["fwd=request", "fwd=request"]),
        ("No-Store, max-age=0", ["fwd=request", "fwd=request"]),
        ("max-age=0", ["fwd=miss; stored", "hit"]),
    ],
)
def test_cache_control(client: FlaskClient, header: str, statuses: list[str]) -> None:
    got = [client.post(URL, json=BODY, headers={"Cache-Control": header}).headers["Cache-Status"] for _ in range(2)]
    assert got == [f"llm-service; {status}" for status in statuses]


@pytest.mark.parametrize("bound", ["APP_CACHE_MAX_ENTRIES=0", "APP_CACHE_MAX_MB=1"])
def test_what_the_cache_has_no_room_for_is_not_called_stored(make_app: Callable[..., Flask], bound: str) -> None:
    name, _, value = bound.partition("=")
    client = make_app(**{name: value}, APP_INPUT_MAX_CHARS="700000").test_client()
    body = {**BODY, "input": "x" * 700_000}
    assert [client.post(URL, json=body).headers["Cache-Status"] for _ in range(2)] == ["llm-service; fwd=miss"] * 2


def test_a_bare_name_is_the_highest_version(client: FlaskClient) -> None:
    assert client.post(URL, json={**BODY, "template_id": "basic_chat"}).get_json()["template_id"] == "basic_chat_v1"


def test_help_gives_an_example_that_works(client: FlaskClient) -> None:
    shown = client.get(URL).get_json()
    assert shown.keys() == {"message", "example"}
    assert client.post(URL, json=shown["example"]).status_code == 200


def with_(**changes: Any) -> dict[str, Any]:
    return {**BODY, **changes}


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({}, "invalid-input", "template_id"),
        ([], "invalid-input", "body"),
        (None, "invalid-input", "body"),
        ("x", "invalid-input", "body"),
        (1, "invalid-input", "body"),
        ({"template_id": "basic_chat_v1"}, "invalid-input", "input"),
        (with_(admin=True), "invalid-input", "admin"),
        (with_(base_url="http://evil"), "invalid-input", "base_url"),
        (with_(__proto__={}), "invalid-input", "__proto__"),
        (with_(template_id=3), "invalid-input", "template_id"),
        (with_(template_id="ab"), "invalid-input", "template_id"),
        (with_(template_id="a" * 10_000), "invalid-input", "template_id"),
        (with_(template_id="nope_v1"), "unknown-template", "template_id"),
        (with_(template_id="../../etc/passwd"), "unknown-template", "template_id"),
        (with_(template_id="__class__"), "unknown-template", "template_id"),
        (with_(template_id="BASIC_CHAT_V1"), "unknown-template", "template_id"),
        (with_(input=""), "invalid-input", "input"),
        (with_(input=" \n"), "invalid-input", "input"),
        (with_(input=None), "invalid-input", "input"),
        (with_(input=["a"]), "invalid-input", "input"),
        (with_(input="x" * 5001), "invalid-input", "input"),
        (with_(input="a\x00b"), "invalid-character", "input"),
        (with_(input="\ud800"), "invalid-character", "input"),
        (with_(parameters={"tone": "\udfff"}), "invalid-character", "parameters.tone"),
        (with_(parameters=[]), "invalid-input", "parameters"),
        (with_(parameters="x"), "invalid-input", "parameters"),
        (with_(parameters={"tone": "loud"}), "invalid-input", "parameters.tone"),
        (with_(parameters={"tone": 1}), "invalid-input", "parameters.tone"),
        (with_(parameters={"tone": ["simple"]}), "invalid-input", "parameters.tone"),
        (with_(parameters={"lines": 3}), "invalid-input", "parameters.lines"),
        (with_(parameters={"constructor": 3}), "invalid-input", "parameters.constructor"),
        (with_(parameters={str(n): n for n in range(100)}), "invalid-input", "parameters"),
        (with_(model="other"), "unknown-model", "model"),
        (with_(model=""), "invalid-input", "model"),
        (with_(model=3), "invalid-input", "model"),
        (with_(stream="false"), "invalid-input", "stream"),
        (with_(stream=0), "invalid-input", "stream"),
    ],
)
def test_bad_values(client: FlaskClient, body: Any, error: str, field: str) -> None:
    response = client.post(URL, data=json.dumps(body), content_type="application/json")
    problem = response.get_json()
    assert (response.status_code, problem["error"]) == (422, error)
    assert field in [error["field"] for error in problem["errors"]]
    assert client.get("/api/v1/history").get_json()["items"] == []


DEEP = b'{"template_id": "basic_chat_v1", "input": "x", "parameters": {"a": %s}}'


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid-json"),
        (b'{"input": "a"', "invalid-json"),
        (b"{} x", "invalid-json"),
        (b"\xef\xbb\xbf{}", "invalid-json"),
        ('{"input": "a"}'.encode("utf-16"), "invalid-json"),
        (b'{"input": "\xe9"}', "invalid-json"),
        (b'{"input": "\xc0\xaf"}', "invalid-json"),
        (b'{"input": "\x01"}', "invalid-json"),
        (b"{'input': 'a'}", "invalid-json"),
        (b'{"input": NaN}', "invalid-json"),
        (b'{"parameters": {"a": -Infinity}}', "invalid-json"),
        (b'{"a": ' + b"9" * 4301 + b"}", "invalid-json"),
        (b'{"input": "a", "input": "b"}', "duplicate-key"),
        (b'{"parameters": {"a": {"b": 1, "b": 2}}}', "duplicate-key"),
        (DEEP % (b"[" * 31 + b"]" * 31), "too-deep"),
        (DEEP % (b"[" * 500 + b"]" * 500), "too-deep"),
        (b"[" * 100_000, "too-deep"),
        (b'{"a":' * 100_000, "too-deep"),
    ],
)
def test_bodies_that_are_not_json(client: FlaskClient, body: bytes, error: str) -> None:
    response = client.post(URL, data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["error"]) == (400, error)
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("body", [DEEP % (b"[" * 30 + b"]" * 30), DEEP % (b'"' + b"[{" * 500 + b'"'), DEEP % b"1e999"])
def test_bodies_that_are_json_but_wrong(client: FlaskClient, body: bytes) -> None:
    """Thirty levels, brackets in a string, a number too large for a float: JSON, but no parameter of the template."""
    response = client.post(URL, data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["error"]) == (422, "invalid-input")


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ({}, 415, "unsupported-media-type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported-media-type"),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 60_000}, 415, "unsupported-media-type"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported-media-type"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
        ({"Content-Type": "application/json", "Accept": "application/xml"}, 406, "not-acceptable"),
        ({"Content-Type": "application/json; charset=UTF-8"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "text/html, */*;q=0.1"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "application/json; charset=utf-8"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "APPLICATION/JSON;Charset=UTF-8;q=0.5"}, 200, None),
        ({"Content-Type": "application/json", "Accept": 'text/html, application/json;profile="a,b"'}, 200, None),
        ({"Content-Type": "application/json", "Accept": "application/*;q=0.1"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "text/event-stream"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "application/problem+json"}, 200, None),
        ({"Content-Type": "application/json", "Accept": ""}, 200, None),
        ({"Content-Type": "application/json", "Accept": "*/*, application/json;version=2;q=0"}, 200, None),
        ({"Content-Type": "application/json", "Accept": "text/csv"}, 406, "not-acceptable"),
        ({"Content-Type": "application/json", "Accept": "application/json;q=0"}, 406, "not-acceptable"),
        ({"Content-Type": "application/json", "Accept": "*/*;q=0"}, 406, "not-acceptable"),
        ({"Content-Type": "application/json", "Accept": "json"}, 406, "not-acceptable"),
    ],
)
def test_headers_of_the_request(client: FlaskClient, headers: dict[str, str], status: int, error: str | None) -> None:
    response = client.post(URL, data=json.dumps(BODY), headers=headers)
    assert (response.status_code, response.get_json().get("error")) == (status, error)


@pytest.mark.shared_app
@pytest.mark.parametrize("coding", ["gzip", "br, gzip", "x"])
def test_a_refused_coding_says_which_are_taken(client: FlaskClient, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response = client.post(URL, data=json.dumps(BODY), headers=headers)
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "identity")
    other = client.post(URL, data=json.dumps(BODY), headers={"Content-Type": "text/plain"})
    assert (other.status_code, "Accept-Encoding" in other.headers) == (415, False)


def test_a_body_that_is_too_large(client: FlaskClient) -> None:
    for size in (1_100_000, 3_000_000):
        response = client.post(URL, data=b" " * size, content_type="application/json")
        assert (response.status_code, response.get_json()["error"]) == (413, "too-large")


@pytest.mark.shared_app
@pytest.mark.parametrize(
    "text",
    [
        "{{7*7}}",
        "{% raw %}",
        "\u202e",
        "👨‍👩‍👧‍👦",
        "e\u0301" * 2000,
        "x\u2028\u2029\r\n",
        "\U000e0041",
        "\ufffe",
        "x" * 5000,
    ],
)
def test_strange_text_comes_back_as_it_was(client: FlaskClient, text: str) -> None:
    answer = client.post(URL, json=with_(input=text)).get_json()
    assert answer["user_prompt"] == text
    assert client.get(f"/api/v1/history/{answer['request_id']}").get_json()["input"] == text


def test_the_same_word_in_two_forms_is_two_questions(client: FlaskClient) -> None:
    assert client.post(URL, json=with_(input="caf\u00e9")).get_json()["cached"] is False
    assert client.post(URL, json=with_(input="cafe\u0301")).get_json()["cached"] is False


@pytest.mark.shared_app
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_wrong_method(client: FlaskClient, method: str) -> None:
    response = client.open(URL, method=method, headers={"X-HTTP-Method-Override": "POST"})
    assert (response.status_code, response.get_json()["error"]) == (405, "method-not-allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("model", sorted(FAILURES))
def test_each_failure_of_the_provider(upstream_app: Flask, model: str) -> None:
    """The caller gets a problem, the history the same code, and nobody the key or the provider's words."""
    client = upstream_app.test_client()
    response = client.post(URL, json=with_(model=model))
    problem = response.get_json()
    expected = "unknown-model" if model == "fault-404" else FAILURES[model].code
    assert (response.status_code, problem["error"]) == (PROBLEMS[expected].status, expected)
    assert response.mimetype == "application/problem+json"
    row = client.get(f"/api/v1/history/{problem['request_id']}").get_json()
    assert (row["status"], row["error"]) == ("failed", expected)
    assert (row["total_tokens"] is None) is (model != "fault-failed-usage")
    assert 1 <= row["attempts"] <= 3
    assert KEY_CANARY not in response.text + json.dumps(row)
    assert "secret" not in response.text
    if response.status_code == 503:
        assert int(response.headers["Retry-After"]) > 0
    assert services_of(upstream_app).cache.stats().entries == 0


def test_a_failure_keeps_what_came(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    problem = client.post(URL, json=with_(model="fault-eof-after-3")).get_json()
    row = client.get(f"/api/v1/history/{problem['request_id']}").get_json()
    assert row["output"] == "part1 part2 part3 "


@pytest.mark.parametrize("model", sorted(ANSWERS))
def test_each_strange_answer_of_the_provider(upstream_app: Flask, model: str) -> None:
    client = upstream_app.test_client()
    status, output, reason = ANSWERS[model]
    for cached in (False, status == "completed"):
        answer = client.post(URL, json=with_(model=model)).get_json()
        assert (answer["status"], answer["output"], answer["incomplete_reason"]) == (status, output, reason)
        assert answer["cached"] is cached, "only a complete answer is used again"


def test_usage_is_the_providers_and_unknown_is_null(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    known = client.post(URL, json=BODY).get_json()
    assert (known["cached_input_tokens"], known["reasoning_tokens"], known["model"]) == (2, 1, "normal")
    assert known["cost_usd"] is None
    for model in ("fault-no-usage", "fault-bad-usage"):
        unknown = client.post(URL, json=with_(model=model)).get_json()
        assert [unknown[name] for name in FIELDS if name.endswith("_tokens")] == [None] * 5
