"""Warnings, and what a provider reports of its own cost, wherever an answer is shown."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.requests import GENERATE, post
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay, sse

LONG = "some more words " * 300
MakeApp = Callable[..., Flask]


def answer_with(usage: dict[str, Any], *more: dict[str, Any]) -> Replay:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Lisbon."}]}
    response = {"id": "r", "status": "completed", "model": "x", "output": [*more, message], "usage": usage}
    return sse(
        {"type": "response.output_text.delta", "delta": "Lisbon."}, {"type": "response.completed", "response": response}
    )


@pytest.fixture(name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        upstream.replays["small"] = answer_with({"input_tokens": 512, "output_tokens": 3, "total_tokens": 515})
        upstream.replays["large"] = answer_with({"input_tokens": 1300, "output_tokens": 3, "total_tokens": 1303})
        yield upstream


def client_of(make_app: MakeApp, upstream: Upstream, model: str, **environ: str) -> FlaskClient:
    return make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=model, **environ).test_client()


def ask(client: FlaskClient, **more: object) -> Any:
    return client.post(GENERATE, json={"template_id": "basic_chat_v1", "input": LONG, **more})


def test_a_prompt_that_the_server_cut(make_app: MakeApp, upstream: Upstream) -> None:
    client = client_of(make_app, upstream, "small")
    first, second = ask(client), ask(client)
    answer = first.get_json()
    (warning,) = answer["warnings"]
    assert warning["code"] == "input-truncated"
    assert "counted 512 input tokens" in warning["message"]
    assert (answer["status"], second.get_json()["cached"]) == ("completed", False)
    assert first.headers["Cache-Status"] == "llm-service; fwd=miss"
    assert len(upstream.calls) == 2
    entry = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert entry["warnings"] == answer["warnings"]
    streamed = ask(client, stream=True).text
    done = json.loads(streamed.rpartition("data: ")[2])
    assert done["warnings"] == answer["warnings"]
    assert "counted 512 input tokens" in client.get(f"/history/{answer['request_id']}").text
    assert "counted 512 input tokens" in client.get(post(client, input=LONG).location).text


def test_a_prompt_that_was_read_as_a_whole(make_app: MakeApp, upstream: Upstream) -> None:
    client = client_of(make_app, upstream, "large")
    first, second = ask(client).get_json(), ask(client).get_json()
    assert (first["warnings"], second["warnings"], second["cached"]) == ([], [], True)


def test_an_export_has_them(make_app: MakeApp, upstream: Upstream) -> None:
    client = client_of(make_app, upstream, "small")
    answer = ask(client).get_json()
    ask(client, input="Short")
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/history/export?format=csv").text)))
    assert [row["warnings"] and json.loads(row["warnings"]) for row in rows] == ["", answer["warnings"]]


COST = {"input_tokens": 20, "output_tokens": 3, "total_tokens": 23, "cost": 0.0000125}


def test_a_cost_that_the_provider_reports(make_app: MakeApp, upstream: Upstream, tmp_path: Path) -> None:
    upstream.replays["dear"] = answer_with(COST)
    (tmp_path / "prices.yaml").write_text("dear: {input: 1, output: 1}\n")
    prices = {"APP_PRICES_FILE": str(tmp_path / "prices.yaml"), "APP_BUDGET_USD_DAY": "5"}
    client = client_of(make_app, upstream, "dear", **prices)
    paid, hit = ask(client, input="Where?").get_json(), ask(client, input="Where?").get_json()
    assert (paid["cost_usd"], hit["cost_usd"], hit["saved_usd"]) == ("0.0000125", "0", "0.0000125")
    for answer in (paid, hit):
        entry = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
        assert entry["price_version"] == "reported by the provider"
    total = client.get("/api/v1/usage").get_json()["total"]
    assert (total["cost_usd"], total["saved_usd"]) == ("0.0000125", "0.0000125")
    (limit,) = client.get("/api/v1/limits").get_json()["items"]
    assert (limit["used"], limit["reserved"]) == ("0.0000125", "0")


def test_it_is_known_where_no_price_is(make_app: MakeApp, upstream: Upstream) -> None:
    upstream.replays["gpt-4o-mini"] = answer_with(COST)
    upstream.replays["gpt-4o"] = answer_with({name: value for name, value in COST.items() if name != "cost"})
    client = client_of(make_app, upstream, "gpt-4o-mini", APP_MODELS="gpt-4o-mini,gpt-4o")
    assert ask(client, input="Where?").get_json()["cost_usd"] == "0.0000125"
    assert ask(client, input="Where?", model="gpt-4o").get_json()["cost_usd"] is None
    assert client.get("/api/v1/usage").get_json()["total"]["unknown_price"] == 1


def test_a_failure_that_reports_its_cost(make_app: MakeApp, upstream: Upstream) -> None:
    response = {"id": "r", "status": "failed", "error": {"code": "invalid_prompt"}, "output": [], "usage": COST}
    upstream.replays["failing"] = sse({"type": "response.failed", "response": response})
    client = client_of(make_app, upstream, "failing")
    assert ask(client).status_code == 422
    (entry,) = client.get("/api/v1/history").get_json()["items"]
    assert entry["cost_usd"] == "0.0000125"


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (None, None, None, None)),
        ({"input_tokens": 20, "output_tokens": 0, "total_tokens": 20}, (20, None, 20, None)),
        (
            {"input_tokens": 20, "output_tokens": 40, "output_tokens_details": {"reasoning_tokens": 0}},
            (20, 40, None, None),
        ),
        ({"input_tokens": 20, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 6}}, (20, 9, None, 6)),
    ],
)
def test_zeros_that_stand_for_an_unknown_number(
    make_app: MakeApp, upstream: Upstream, usage: dict[str, Any], known: tuple[int | None, ...]
) -> None:
    upstream.replays["thinks"] = answer_with(usage, {"type": "reasoning", "summary": []})
    answer = ask(client_of(make_app, upstream, "thinks"), input="Where?").get_json()
    names = ("input_tokens", "output_tokens", "total_tokens", "reasoning_tokens")
    assert tuple(answer[name] for name in names) == known
