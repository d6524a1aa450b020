"""The answers of other servers as callers of the service see them: what is cached, kept, charged and said."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from tests.servers.shapes import added, delta, last, message, reasoning, response, stream
from tests.support.constants import TEST_PROMPTS
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay, sse, whole

TICKET = '{"label": "bug", "summary": "It breaks.", "due": null, "steps": []}'
REPLAYS: dict[str, Replay] = {
    "thinks-only": stream(last(reasoning("Hm."))),
    "cut": stream(delta("one two"), last(message("one two", status="incomplete"))),
    "commentary": stream(
        added(message(id="a", phase="commentary"), 0),
        delta("Let me see. ", "a", 0),
        added(message(id="b", phase="final_answer"), 1),
        delta(TICKET, "b", 1),
        last(),
    ),
    "two": stream(delta("Here it is:", "a"), delta(TICKET, "b"), last()),
    "fenced": stream(delta(f"```json\n{TICKET}\n```"), last()),
    "prose": stream(delta("It is a bug."), last()),
    "thinks-aloud": stream(delta(f"<think>A bug?</think>{TICKET}"), last()),
    "thinks-unannounced": stream(delta(f"A bug?</think>{TICKET}"), last()),
    "half-json": stream(delta('{"label": "bu'), last()),
    "chunks": sse({"object": "chat.completion.chunk", "choices": []}),
    "too-long": whole({"error": {"code": 400, "message": "request (5,210 tokens) exceeds the context size (4096)"}}, 400),
    "filtered": whole({"error": {"code": "content_filter"}}, 400),
    "filtered-later": stream(delta("Well"), {"type": "response.failed", "response": response(status="failed", error={"code": "content_filter"})}),
    "no-temperature": whole({"error": {"param": "temperature"}}, 400),
    "no-api": whole({"detail": "Method Not Allowed"}, 405),
}  # fmt: skip


@pytest.fixture(name="client")
def _client(make_app: Any) -> Any:
    with Upstream() as upstream:
        upstream.replays.update(REPLAYS)
        app: Flask = make_app(
            OPENAI_BASE_URL=upstream.base_url,
            OPENAI_MODEL="cut",
            APP_MODELS=",".join(REPLAYS),
            APP_PROMPTS_DIR=str(TEST_PROMPTS),
        )
        client = app.test_client()
        client.upstream = upstream  # type: ignore[attr-defined]
        yield client


def ask(client: FlaskClient, model: str, **more: object) -> Any:
    body = {"input": "Hi", "parameters": {"labels": ["bug"], "budget": 1}, "model": model, **more}
    return client.post("/api/v1/templates/ticket/generate", json=body)


@pytest.mark.parametrize(
    ("model", "reason", "output"), [("thinks-only", "empty_output", ""), ("cut", "max_output_tokens", "one two")]
)
def test_what_is_not_complete_is_kept_but_not_cached(client: Any, model: str, reason: str, output: str) -> None:
    for _ in range(2):
        answer = ask(client, model).get_json()
        assert (answer["status"], answer["incomplete_reason"], answer["output"]) == ("incomplete", reason, output)
        assert (answer["cached"], answer["output_tokens"]) == (False, 9)
    assert len(client.upstream.calls) == 2
    row = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert (row["status"], row["incomplete_reason"], row["output"], row["input_tokens"]) == (
        "incomplete",
        reason,
        output,
        31,
    )


@pytest.mark.parametrize("model", ["commentary", "two", "fenced"])
def test_the_json_is_the_output_and_is_cached(client: Any, model: str) -> None:
    answer = ask(client, model).get_json()
    assert (answer["status"], answer["output"], answer["output_json"]["label"]) == ("completed", TICKET, "bug")
    again = ask(client, model).get_json()
    assert (again["cached"], again["output"], again["output_json"]) == (True, TICKET, answer["output_json"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("prose", "seems to ignore JSON schemas"),
        ("thinks-aloud", "begins with the model's thoughts (<think>)"),
        ("thinks-unannounced", "thoughts, which end with </think>"),
        ("half-json", ""),
    ],
)
def test_what_is_not_json_says_why(client: Any, model: str, words: str) -> None:
    for stream_it in (False, True):
        response = ask(client, model, stream=stream_it)
        assert words in response.text
        assert "invalid-output" in response.text
        assert ("Operators:" in response.text) == bool(words)


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("chunks", 502, "upstream-invalid-response"),
        ("too-long", 422, "too-long-for-model"),
        ("filtered", 422, "content-filtered"),
        ("filtered-later", 422, "content-filtered"),
        ("no-temperature", 422, "upstream-rejected"),
        ("no-api", 502, "upstream-misconfigured"),
    ],
)
def test_what_ends_in_the_same_way_each_time_is_tried_once(client: Any, model: str, status: int, code: str) -> None:
    response = ask(client, model)
    problem = response.get_json()
    assert (response.status_code, problem["error"]) == (status, code)
    assert len(client.upstream.calls) == 1
    row = client.get(f"/api/v1/history/{problem['request_id']}").get_json()
    assert (row["status"], row["error"], row["output"]) == (
        "failed",
        code,
        "Well" if model == "filtered-later" else None,
    )


def test_the_numbers_are_told(client: Any) -> None:
    detail = ask(client, "too-long").get_json()["detail"]
    assert "5,210 tokens" in detail
    assert "4,096" in detail


def test_an_address_without_the_api_is_seen_by_the_operator(client: Any) -> None:
    services_of(client.application).providers.warm()
    ask(client, "no-api")
    ready = client.get("/api/v1/ready").get_json()
    assert ready["status"] == "degraded"
