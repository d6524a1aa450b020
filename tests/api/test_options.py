"""Options for one request: where a template allows them, what is sent, stored and refused."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.core.access.caller import Allowance
from tests.support.keys import bearer, make_key
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

MakeApp = Callable[..., Flask]
OPTIONS = {"temperature": 0.3, "max_output_tokens": 100}
TYPED = "/api/v1/templates/basic_chat/generate"
PREVIEW = "/api/v1/templates/basic_chat/preview"


def sent(upstream: Upstream, text: str) -> dict[str, Any]:
    (body,) = [call["body"] for call in upstream.calls if text in str(call["body"])]
    return body  # type: ignore[no-any-return]


def test_they_reach_the_model_and_the_history(upstream_app: Flask, upstream: Upstream) -> None:
    client = upstream_app.test_client()
    answer = client.post(GENERATE, json={**BODY, "input": "With options", "options": OPTIONS}).get_json()
    assert answer["status"] == "completed"
    assert "options" not in answer, "the answer's body is as before"
    body = sent(upstream, "With options")
    assert (body["temperature"], body["max_output_tokens"]) == (0.3, 100)
    entry = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert entry["options"] == OPTIONS
    assert '{""temperature"": 0.3, ""max_output_tokens"": 100}' in client.get("/api/v1/history/export?format=csv").text


def test_without_them_all_is_as_before(client: FlaskClient) -> None:
    plain = client.post(GENERATE, json=BODY).get_json()
    assert client.post(GENERATE, json={**BODY, "options": {}}).get_json()["cached"] is True
    assert client.get(f"/api/v1/history/{plain['request_id']}").get_json()["options"] == {}


def test_other_options_are_another_answer(client: FlaskClient) -> None:
    def cached(**options: float) -> bool:
        return bool(client.post(GENERATE, json={**BODY, "options": options}).get_json()["cached"])

    assert [cached(), cached(temperature=1), cached(temperature=0.5), cached(temperature=1.0)] == [
        False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("path", [GENERATE, TYPED, PREVIEW])
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"temperature": 3}, "options.temperature"),
        ({"top_p": 0.5}, "options.top_p"),
        ({"max_output_tokens": "5"}, "options.max_output_tokens"),
        ([], "options"),
        (None, "options"),
    ],
)
def test_what_is_refused(client: FlaskClient, path: str, options: Any, field: str) -> None:
    body = {"input": "Hi", "options": options, **({"template_id": "basic_chat"} if path == GENERATE else {})}
    response = client.post(path, json=body)
    assert (response.status_code, response.get_json()["error"]) == (422, "invalid-input")
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


def test_a_template_that_does_not_allow_them(client: FlaskClient) -> None:
    example = client.get("/openapi.json").get_json()["paths"]["/api/v1/templates/classify_v1/generate"]["post"]
    body = example["requestBody"]["content"]["application/json"]["example"]
    refused = client.post("/api/v1/templates/classify/generate", json={**body, "options": {"temperature": 0}})
    assert refused.status_code == 422
    assert refused.get_json()["errors"] == [
        {"field": "options.temperature", "message": "cannot be set: this template allows no options"}
    ]


def test_the_document_has_those_of_each_template(client: FlaskClient) -> None:
    schemas = client.get("/openapi.json").get_json()["components"]["schemas"]
    assert schemas["BasicChatV1Request"]["properties"]["options"]["properties"].keys() == OPTIONS.keys()
    assert "options" not in schemas["ClassifyV1Request"]["properties"]


def test_the_preview_shows_what_they_change(client: FlaskClient) -> None:
    plain = client.post(PREVIEW, json={"input": "Hi"}).get_json()
    other = client.post(PREVIEW, json={"input": "Hi", "options": OPTIONS}).get_json()
    assert other["max_output_tokens"] == 100
    assert other["cache_key_parts"]["options"] == OPTIONS
    assert other["cache_key"] != plain["cache_key"]


def test_a_budget_reserves_what_the_caller_set(make_app: MakeApp) -> None:
    app = make_app(APP_MAX_OUTPUT_TOKENS="50")
    client = app.test_client()
    headers = bearer(make_key(app, allowance=Allowance(tokens_per_day=1000))[0])

    def ask(tokens: int) -> int:
        body = {**BODY, "options": {"max_output_tokens": tokens}}
        return client.post(GENERATE, json=body, headers=headers).status_code

    assert ask(5000) == 402
    assert ask(100) == 200


def test_a_repeated_key_with_other_options_is_a_mismatch(client: FlaskClient) -> None:
    def ask(options: dict[str, float] | None) -> int:
        body = BODY if options is None else {**BODY, "options": options}
        return client.post(GENERATE, json=body, headers={"Idempotency-Key": "k"}).status_code

    assert [ask(None), ask({"temperature": 1}), ask(None)] == [200, 422, 200]


def test_an_answer_is_cut_off_where_the_caller_says(client: FlaskClient) -> None:
    answer = client.post(GENERATE, json={**BODY, "options": {"max_output_tokens": 2}}).get_json()
    assert (answer["status"], answer["incomplete_reason"]) == ("incomplete", "max_output_tokens")
