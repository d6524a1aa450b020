"""Fallbacks as callers and people at the page see them."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.bootstrap.errors import StartError
from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.requests import BODY, GENERATE, post
from tests.support.upstream import Upstream

PREVIEW = "/api/v1/templates/basic_chat_v1/preview"
TRIED = [
    {"model": "fault-503", "provider": "openai", "error": "upstream-unavailable"},
    {"model": "fault-401", "provider": "openai", "error": "upstream-auth"},
]
PRICES = """
normal: {input: "1", output: "1"}
fault-503: {input: "3", output: "3"}
fault-500: {input: "1", output: "1"}
fault-html: {input: "2", output: "2"}
"""


@pytest.fixture(name="upstream")
def _upstream() -> object:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="app")
def _app(make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path) -> Flask:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    return make_app(
        OPENAI_API_KEY="sk-test-0123456789",
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="fault-503",
        APP_MODELS="fault-503 > fault-401 > normal, fault-500>fault-html, slow-0.1",
        APP_PRICES_FILE=str(prices),
    )


def ask(client: FlaskClient, **more: object) -> dict[str, object]:
    return client.post(GENERATE, json={**BODY, **more}).get_json()  # type: ignore[no-any-return]


def test_the_status_shows_the_fallbacks_of_a_provider_too(client: FlaskClient) -> None:
    client.post(GENERATE, json=BODY)
    status = client.get("/api/v1/status").get_json()
    assert status["models"] == ["fault-503", "fault-500", "slow-0.1"]
    (provider,) = status["providers"]
    assert provider["models"] == ["fault-503", "fault-401", "normal", "fault-500", "fault-html", "slow-0.1"]
    assert set(provider["circuits"]) == {"fault-503", "fault-401", "normal"}


def test_the_history_page_can_be_filtered_by_a_fallback(client: FlaskClient) -> None:
    client.post(GENERATE, json=BODY)
    page = client.get("/history?model=slow-0.1").get_data(as_text=True)
    offered = re.findall(r'<option value="([^"]*)"', page.split('name="model"')[1].split("</select>")[0])
    assert offered == ["", "fault-503", "fault-401", "normal", "fault-500", "fault-html", "slow-0.1"]


def test_an_answer_says_who_gave_it_and_who_was_tried(client: FlaskClient) -> None:
    response = client.post(GENERATE, json=BODY)
    answer = response.get_json()
    assert (answer["output"], answer["model"], answer["provider"]) == ("Answer to: Hello", "normal", "openai")
    assert answer["fallbacks"] == TRIED
    assert response.headers["Cache-Status"] == "llm-service; fwd=miss; stored"
    timing = response.headers["Server-Timing"]
    assert re.search(r'fallback-1;desc="fault-503 upstream-unavailable";dur=[0-9.]+', timing)
    assert re.search(r'fallback-2;desc="fault-401 upstream-auth";dur=[0-9.]+', timing)
    entry = client.get(f"/api/v1/history/{answer['request_id']}").get_json()
    assert (entry["fallbacks"], entry["attempts"], entry["provider"]) == (TRIED, 3, "openai")
    (line,) = client.get("/api/v1/history?model=normal").get_json()["items"]
    assert line["request_id"] == answer["request_id"]


def test_the_log_says_why_another_model_was_asked(client: FlaskClient, log_lines: list[str]) -> None:
    """A wrong key at the first provider costs no answer, so nobody else would tell the operator."""
    answer = ask(client)
    told = [line for line in map(json.loads, log_lines) if line["event"] == "fallback"]
    assert [(line["model"], line["error"], line["next"]) for line in told] == [
        ("fault-503", "upstream-unavailable", "fault-401"),
        ("fault-401", "upstream-auth", "normal"),
    ]
    assert {(line["level"], line["request_id"], line["provider"]) for line in told} == {
        ("warning", answer["request_id"], "openai")
    }
    assert "API key" in str(told[1]["cause"])


def test_again_it_comes_from_the_cache_of_the_model_that_answered(client: FlaskClient, upstream: Upstream) -> None:
    ask(client)
    # Before its call is over, the same request shares it.
    until(lambda: not services_of(client.application).in_flight.awaits_bills)
    response = client.post(GENERATE, json=BODY)
    answer = response.get_json()
    assert (answer["cached"], answer["fallbacks"], answer["cost_usd"]) == (True, TRIED, "0")
    assert response.headers["Cache-Status"] == "llm-service; hit"
    assert [len(upstream.calls_of(model)) for model in ("fault-503", "fault-401", "normal")] == [2, 2, 1]


def test_a_stream_starts_with_who_answers(client: FlaskClient) -> None:
    events = client.post(GENERATE, json={**BODY, "stream": True}).text.split("\n\n")
    data = {event.split("\n")[0]: json.loads(event.split("data: ")[1]) for event in events if "data: " in event}
    assert data["event: start"]["model"] == "normal"
    assert (data["event: done"]["model"], data["event: done"]["fallbacks"]) == ("normal", TRIED)


def test_if_all_fail_the_last_error_is_told_and_the_row_has_all(client: FlaskClient) -> None:
    response = client.post(GENERATE, json={**BODY, "model": "fault-500"})
    assert (response.status_code, response.get_json()["error"]) == (502, "upstream-invalid-response")
    entry = client.get(f"/api/v1/history/{response.get_json()['request_id']}").get_json()
    assert (entry["model"], entry["error"]) == ("fault-html", "upstream-invalid-response")
    assert [tried["model"] for tried in entry["fallbacks"]] == ["fault-500"]


def test_callers_ask_for_the_first_model_only(client: FlaskClient) -> None:
    assert client.get("/api/v1/status").get_json()["models"] == ["fault-503", "fault-500", "slow-0.1"]
    for model in ("normal", "fault-401", "fault-503>fault-401>normal"):
        problem = client.post(GENERATE, json={**BODY, "model": model}).get_json()
        assert problem["error"] == "unknown-model"
        assert problem["errors"][0]["message"] == "must be one of: fault-500, fault-503, slow-0.1"
    document = client.get("/openapi.json").get_json()
    names = json.dumps(document)
    assert '"fault-500"' in names
    assert "fault-503>" not in names


def test_a_preview_names_the_models_and_the_most_that_one_of_them_costs(client: FlaskClient) -> None:
    body = {"input": "Hello", "parameters": {"tone": "simple"}}
    preview = client.post(PREVIEW, json=body).get_json()
    assert (preview["model"], preview["fallbacks"]) == ("fault-503", ["fault-401", "normal"])
    assert preview["max_cost_usd"] is None, "one has no price"
    assert client.post(PREVIEW, json={**body, "model": "slow-0.1"}).get_json()["fallbacks"] == []


def test_a_preview_has_the_cost_of_the_most_expensive_model(
    make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    client = make_app(
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal>fault-503>fault-html,fault-503",
        APP_PRICES_FILE=str(prices),
        APP_MAX_OUTPUT_TOKENS="10",
    ).test_client()
    body = {"input": "Hello", "parameters": {"tone": "simple"}}
    both, alone = (client.post(PREVIEW, json={**body, "model": model}).get_json() for model in ("normal", "fault-503"))
    assert both["max_cost_usd"] == alone["max_cost_usd"] is not None


def test_usage_has_the_attempts_of_each_model(make_app: Callable[..., Flask], upstream: Upstream) -> None:
    app = make_app(
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="fault-eof-at-start",
        APP_MODELS="fault-eof-at-start>normal",
    )
    client = app.test_client()
    answer = ask(client)
    by_model = {item["model"]: item for item in client.get("/api/v1/usage?group_by=model").get_json()["items"]}
    assert (by_model["normal"]["requests"], by_model["normal"]["output_tokens"]) == (1, answer["output_tokens"])
    assert (by_model["fault-eof-at-start"]["requests"], by_model["fault-eof-at-start"]["unknown_usage"]) == (0, 1), (
        "it may be billed"
    )
    (line,) = client.get("/api/v1/usage?group_by=provider").get_json()["items"]
    assert (line["provider"], line["requests"], line["unknown_usage"]) == ("openai", 1, 1)
    page = client.get("/usage").text
    row = re.search(r'<th scope="row">fault-eof-at-start</th>.*?</tr>', page, re.DOTALL)
    assert row
    assert "<td>–</td>" in row[0], "no requests, no hit rate"
    assert "<h2>Providers</h2>" not in page


def test_exports_have_them(client: FlaskClient) -> None:
    ask(client)
    (row,) = csv.DictReader(io.StringIO(client.get("/api/v1/history/export?format=csv").text))
    assert json.loads(row["fallbacks"]) == TRIED
    assert client.get("/api/v1/history/export").get_json()["items"][0]["fallbacks"] == TRIED


def plain(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def test_the_pages_say_who_answered_after_whom(client: FlaskClient) -> None:
    words = (
        "Answered by normal (openai), after fault-503 (openai) was unavailable: upstream-unavailable, "
        "and fault-401 (openai) was unavailable: upstream-auth."
    )
    address = post(client).headers["Location"]
    page = client.get(address).text
    assert words in plain(page)
    assert '<a href="/problems/upstream-auth">' in page
    request_id = address.partition("from=")[2]
    assert words in plain(client.get(f"/history/{request_id}").text)
    failed = post(client, model="fault-500")
    assert "Answered by" not in failed.text
    (entry,) = client.get("/api/v1/history?status=failed").get_json()["items"]
    shown = plain(client.get(f"/history/{entry['request_id']}").text)
    assert "Last asked: fault-html (openai), after fault-500 (openai) was unavailable: upstream-error." in shown


def test_a_page_without_fallbacks_does_not_speak_of_them(client: FlaskClient) -> None:
    page = client.get(post(client, model="slow-0.1").headers["Location"]).text
    assert "Answered by" not in page
    assert "unavailable" not in page


def test_a_template_has_a_list_of_its_own(make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path) -> None:
    source = (ROOT / "prompts/basic_chat_v1.prompty").read_text()
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "own_list_v1.prompty").write_text(source.replace("---\n", "---\nmodel: {id: 'fault-502>normal'}\n", 1))
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="fault-500", APP_PROMPTS_DIR=str(folder))
    client = app.test_client()
    answer = client.post(GENERATE, json={**BODY, "template_id": "own_list_v1"}).get_json()
    assert (answer["model"], [tried["model"] for tried in answer["fallbacks"]]) == ("normal", ["fault-502"])
    assert client.get("/api/v1/templates/own_list_v1").get_json()["model"] == "fault-502"


PROVIDERS = """
providers:
  first: {kind: responses, base_url: %s, models: {fault-eof-at-start: {price: {input: "1", output: "1"}}, normal: {}}}
  second: {kind: chat, base_url: %s, models: {fast: {as: normal, price: {input: "2", output: "2"}}, normal: {}}}
"""


@pytest.fixture(name="several")
def _several(make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path) -> object:
    """Two providers with a wire each; the second one has a server of its own."""
    with Upstream() as other:
        path = tmp_path / "providers.yaml"
        path.write_text(PROVIDERS % (upstream.base_url, other.base_url))
        app = make_app(
            APP_PROVIDERS_FILE=str(path),
            APP_MODELS="fault-eof-at-start>second/fast, first/normal > fast > second/normal",
        )
        yield app.test_client(), other


def test_the_fallback_is_at_another_provider(several: tuple[FlaskClient, Upstream], upstream: Upstream) -> None:
    client, other = several
    answer = ask(client)
    assert (answer["model"], answer["provider"], answer["output"]) == ("fast", "second", "Answer to: Hello")
    assert answer["fallbacks"] == [{"model": "fault-eof-at-start", "provider": "first", "error": "upstream-truncated"}]
    assert (len(upstream.calls), [call["body"]["model"] for call in other.calls]) == (1, ["normal"])
    lines = client.get("/api/v1/usage?group_by=provider").get_json()["items"]
    sums = {line["provider"]: (line["requests"], line["unknown_usage"], line["cost_usd"]) for line in lines}
    assert sums == {"second": (1, 0, answer["cost_usd"]), "first": (0, 1, "0")}
    page = client.get("/usage").text
    assert "<h2>Providers</h2>" in page
    assert '<th scope="row">second</th>' in page
    assert "Answered by fast (second), after fault-eof-at-start (first)" in plain(
        client.get(f"/history/{answer['request_id']}").text
    )


def test_lists_use_any_name_of_a_model(several: tuple[FlaskClient, Upstream]) -> None:
    client, _ = several
    assert client.get("/api/v1/status").get_json()["models"] == ["fault-eof-at-start", "normal"]
    preview = client.post(
        PREVIEW, json={"input": "Hello", "parameters": {"tone": "simple"}, "model": "first/normal"}
    ).get_json()
    assert (preview["model"], preview["fallbacks"]) == ("normal", ["fast", "second/normal"])


def test_the_page_previews_models_by_the_names_that_people_use(several: tuple[FlaskClient, Upstream]) -> None:
    client, _ = several
    page = plain(post(client, preview="1", model="normal").text)
    assert "normal (if it fails: fast, then second/normal)" in page
    assert "unknown: no price for normal, second/normal" in page


@pytest.mark.parametrize(
    ("models", "fault"),
    [
        ("normal>none", "has no model none, which APP_MODELS names"),
        ("normal>fast, first/normal", "two lists that begin with the model normal"),
    ],
)
def test_a_list_that_the_providers_do_not_fit_is_refused(
    make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path, models: str, fault: str
) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text(PROVIDERS % (upstream.base_url, upstream.base_url))
    with pytest.raises(StartError, match=fault):
        make_app(APP_PROVIDERS_FILE=str(path), APP_MODELS=models)
