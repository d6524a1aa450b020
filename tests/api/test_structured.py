"""Answers that are JSON: asked for strictly, checked, given as a value; and every way in which there is none."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.constants import TEST_PROMPTS
from tests.support.upstream import Upstream

URL = "/api/v1/templates/ticket/generate"
BODY = {"input": "Hi", "parameters": {"labels": ["bug"], "budget": 1}}
MODELS = (
    "normal",
    "json-other",
    "json-cut",
    "json-nan",
    "json-surrogate",
    "fault-refusal",
    "fault-incomplete",
    "fault-json-body",
)


@pytest.fixture(name="client")
def _client(make_app: Any, upstream: Upstream) -> FlaskClient:
    app: Flask = make_app(
        OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_MODELS=",".join(MODELS), APP_PROMPTS_DIR=str(TEST_PROMPTS)
    )  # fmt: skip
    return app.test_client()


def ask(client: FlaskClient, model: str = "normal", **more: object) -> Any:
    return client.post(URL, json={**BODY, "model": model, **more})


def test_the_schema_is_sent_strictly(client: FlaskClient, upstream: Upstream) -> None:
    ask(client)
    wanted = upstream.calls_of("normal")[-1]["body"]["text"]["format"]
    assert (wanted["type"], wanted["name"], wanted["strict"]) == ("json_schema", "ticket_v1", True)
    assert wanted["schema"] == {
        "type": "object",
        "properties": {
            "label": {
                "type": "string",
                "description": "The label that fits.",
                "enum": ["billing", "bug", "other"],
            },
            "summary": {"type": "string"},
            "due": {"type": ["string", "null"]},
            "steps": {
                "type": "array",
                "maxItems": 5,
                "items": {
                    "type": "object",
                    "properties": {
                        "task": {"type": "string"},
                        "minutes": {"type": "integer", "minimum": 1, "maximum": 600},
                    },
                    "required": ["task", "minutes"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["label", "summary", "due", "steps"],
        "additionalProperties": False,
    }


def test_plain_templates_ask_for_plain_text(upstream_app: Flask, upstream: Upstream) -> None:
    answer = upstream_app.test_client().post("/api/v1/generate", json={"template_id": "basic_chat", "input": "Hi"})
    assert "output_json" not in answer.get_json()
    assert "text" not in upstream.calls_of("normal")[-1]["body"]


@pytest.mark.parametrize("model", ["normal", "fault-json-body"])
def test_the_answer_is_a_value_and_the_text_as_it_came(client: FlaskClient, model: str) -> None:
    answer = ask(client, model).get_json()
    assert answer["output_json"] == {
        "label": "billing", "summary": "some words", "due": "some words",
        "steps": [{"task": "some words", "minutes": 1}],
    }  # fmt: skip
    assert json.loads(answer["output"]) == answer["output_json"]
    again = ask(client, model).get_json()
    assert (again["cached"], again["output_json"]) == (True, answer["output_json"])
    kept = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert kept["output_json"] == answer["output_json"]


def test_a_stream_ends_with_the_value(client: FlaskClient) -> None:
    text = ask(client, stream=True).text
    done = json.loads(text[text.index("event: done") :].split("data: ", 1)[1].split("\n")[0])
    assert done["output_json"]["label"] == "billing"


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("json-other", "output_json.other"),
        ("json-cut", "output_json"),
        ("json-nan", "output_json"),
        ("json-surrogate", "output_json.label"),
    ],
)
def test_an_answer_that_does_not_keep_it_is_an_error_of_its_own(client: FlaskClient, model: str, field: str) -> None:
    response = ask(client, model)
    problem = response.get_json()
    assert (response.status_code, problem["error"]) == (502, "invalid-output")
    assert problem["errors"][0]["field"] == field
    kept = client.get(f"/api/v1/history/{problem['request_id']}").get_json()
    assert (kept["status"], kept["error"], kept["output_json"]) == ("failed", "invalid-output", None)
    assert kept["output"], "the partial answer is kept"
    assert kept["output_tokens"] is not None, "and so is what it took"
    assert ask(client, model).status_code == 502, "it is not cached"


def test_a_bad_answer_ends_a_stream_with_its_error(client: FlaskClient) -> None:
    text = ask(client, "json-other", stream=True).text
    assert "event: done" not in text
    assert '"error": "invalid-output"' in text[text.index("event: error") :]


@pytest.mark.parametrize(("model", "reason"), [("fault-refusal", "refusal"), ("fault-incomplete", "max_output_tokens")])
def test_a_refusal_and_a_cut_are_incomplete(client: FlaskClient, model: str, reason: str) -> None:
    response = ask(client, model)
    answer = response.get_json()
    assert response.status_code == 200
    assert (answer["status"], answer["incomplete_reason"], answer["output_json"]) == ("incomplete", reason, None)


def test_the_echo_answers_with_the_sample(make_app: Any) -> None:
    client = make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client()
    answer = ask(client, "gpt-4o-mini").get_json()
    assert answer["output_json"]["steps"] == [{"task": "Check the invoice", "minutes": 15}]
    assert answer["model"] == "echo"
