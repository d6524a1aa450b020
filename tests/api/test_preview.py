"""POST /templates/{id}/preview: everything about a request, and nothing paid."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.constants import TEST_PROMPTS

URL = "/api/v1/templates/{}/preview"
BODY = {"input": "Hello", "parameters": {"tone": "simple"}}


def preview(client: FlaskClient, body: object = BODY, template_id: str = "basic_chat") -> Any:
    return client.post(URL.format(template_id), json=body)


def test_to_the_letter(client: FlaskClient) -> None:
    response = preview(client)
    seen = response.get_json()
    assert response.status_code == 200
    assert seen.keys() == {
        "template_id", "revision", "model", "fallbacks", "system_prompt", "user_prompt", "cache_key", "cache_key_parts", "would_hit",
        "estimated_input_tokens", "max_output_tokens", "max_cost_usd", "price_version",
    }  # fmt: skip
    assert (seen["template_id"], seen["user_prompt"], seen["would_hit"]) == ("basic_chat_v1", "Hello", False)
    assert (seen["max_cost_usd"], seen["price_version"]) == (None, None), "the echo has no price"


def test_it_says_what_generate_then_does(client: FlaskClient) -> None:
    before = preview(client).get_json()
    answer = client.post("/api/v1/templates/basic_chat/generate", json=BODY).get_json()
    assert before["system_prompt"] == answer["system_prompt"]
    assert before["revision"] == answer["template_revision"]
    assert client.get(f"/api/v1/history/{answer['request_id']}").get_json()["cache_key"] == before["cache_key"]
    assert preview(client).get_json()["would_hit"]


def test_the_key_is_the_hash_of_its_parts(client: FlaskClient) -> None:
    seen = preview(client).get_json()
    canonical = json.dumps(seen["cache_key_parts"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == seen["cache_key"]


def test_nothing_is_called_kept_or_counted(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    preview(client)
    assert client.get("/api/v1/history").get_json()["items"] == []
    status = client.get("/api/v1/status").get_json()
    assert (status["cache"]["hits"], status["cache"]["misses"], status["upstream"]["in_flight"]) == (0, 0, 0)


def test_what_it_can_cost_at_most(make_app: Any) -> None:
    app: Flask = make_app(OPENAI_API_KEY="none", OPENAI_MODEL="gpt-4o-mini", APP_PROMPTS_DIR=str(TEST_PROMPTS))
    body = {"input": "Hi", "parameters": {"labels": ["bug"], "budget": 1}}
    seen = preview(app.test_client(), body, "ticket").get_json()
    assert seen["max_output_tokens"] == 200
    assert float(seen["max_cost_usd"]) > 0
    assert seen["price_version"].startswith("genai-prices ")
    assert seen["cache_key_parts"]["output"]["name"] == "ticket_v1"


def test_another_server_has_a_price_only_where_it_is_set(make_app: Any, upstream: Any, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text('"openai/gpt-4o": {input: 1, output: 2}\n')
    app: Flask = make_app(
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="gpt-4o-mini",
        APP_MODELS="gpt-4o-mini,gpt-4o",
        APP_MAX_OUTPUT_TOKENS="100",
        APP_PRICES_FILE=str(tmp_path / "prices.yaml"),
    )
    seen = preview(app.test_client(), {"input": "Hi"}).get_json()
    assert (seen["max_cost_usd"], seen["price_version"]) == (None, None)
    seen = preview(app.test_client(), {"input": "Hi", "model": "gpt-4o"}).get_json()
    assert float(seen["max_cost_usd"]) > 0
    assert seen["price_version"].startswith("prices.yaml ")


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"input": " "}, 422, "invalid-input"),
        ({"input": "x", "stream": True}, 422, "invalid-input"),
        ({"input": "x", "model": "gpt-9"}, 422, "unknown-model"),
        ({"input": "a\x00"}, 422, "invalid-character"),
        ([], 422, "invalid-input"),
    ],
)
def test_bad_input(client: FlaskClient, body: object, status: int, error: str) -> None:
    response = preview(client, body)
    assert (response.status_code, response.get_json()["error"]) == (status, error)
