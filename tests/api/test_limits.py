"""Limits over HTTP: who is refused, the error, and what is left.

Longer than other modules: every limit has the same cases.
"""

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from llm_service.app import services_of
from llm_service.core.access.caller import Allowance
from tests.support.constants import OWN_PAGE
from tests.support.keys import make_key
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

URL = "/api/v1/limits"
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")
MakeApp = Callable[..., Flask]


def with_allowance(app: Flask, **allowance: object) -> FlaskClient:
    """A client that brings a key which may so much."""
    text, _ = make_key(app, scopes=("admin",), allowance=Allowance(**allowance))  # type: ignore[arg-type]
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {text}"
    return client


def ask(client: FlaskClient, number: int = 0, **more: object) -> TestResponse:
    return client.post(GENERATE, json={**BODY, "input": f"Question {number}", **more})


def limits(client: FlaskClient) -> dict[str, dict[str, str]]:
    return {item["limit"]: item for item in client.get(URL).get_json()["items"]}


def headers(response: TestResponse) -> list[str]:
    return [response.headers[name] for name in HEADERS]


@pytest.fixture(name="priced")
def _priced(make_app: MakeApp, tmp_path: Path) -> Callable[..., Flask]:
    """Apps whose echo costs a dollar a million tokens."""
    (tmp_path / "prices.yaml").write_text('echo: {input: "1", output: "1"}\nnormal: {input: "1", output: "1"}\n')
    return lambda **environ: make_app(APP_PRICES_FILE=str(tmp_path / "prices.yaml"), **environ)


def test_where_nothing_is_limited_nothing_is_said(client: FlaskClient) -> None:
    assert client.get(URL).get_json() == {"items": []}
    assert [name for name in HEADERS if name in ask(client).headers] == []


def test_generations_a_minute(make_app: MakeApp) -> None:
    client = make_app(APP_LIMIT_RPM="3").test_client()
    answers = [ask(client), ask(client), ask(client, stream=True)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [headers(answer)[:2] for answer in answers] == [["3", "2"], ["3", "1"], ["3", "0"]]
    assert headers(answers[1])[3] == '"generations-per-minute";q=3;w=60'
    assert answers[1].get_json()["cached"] is True, "a hit counts as well"
    refused = ask(client)
    problem = refused.get_json()
    assert (refused.status_code, problem["error"], refused.content_type) == (
        429,
        "rate-limited",
        "application/problem+json",
    )
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert headers(refused)[:2] == ["3", "0"]
    limit = problem["limit"]
    assert (limit["limit"], limit["applies_to"], limit["most"], limit["left"]) == (
        "generations-per-minute",
        "everyone",
        "3",
        "0",
    )
    assert datetime.fromisoformat(limit["resets_at"]) > datetime.now(UTC)
    assert ask(client, stream=True).status_code == 429, "a refused stream never begins"
    assert len(client.get("/api/v1/history").get_json()["items"]) == 3
    assert client.get(f"/problems/{problem['error']}").status_code == 200


def test_each_template_is_limited_alike(make_app: MakeApp) -> None:
    client = make_app(APP_LIMIT_RPM="1").test_client()
    assert ask(client).status_code == 200
    typed = client.post("/api/v1/templates/summarize_v1/generate", json={"input": "Long text"})
    assert (typed.status_code, typed.get_json()["error"]) == (429, "rate-limited")


def test_previews_and_reads_are_not_limited(make_app: MakeApp) -> None:
    client = make_app(APP_LIMIT_RPM="1").test_client()
    ask(client)
    for _ in range(3):
        preview = client.post("/api/v1/templates/basic_chat_v1/preview", json={"input": "Hello"})
        assert (preview.status_code, client.get("/api/v1/history").status_code) == (200, 200)


def test_a_key_has_limits_of_its_own(make_app: MakeApp) -> None:
    client = with_allowance(make_app(APP_LIMIT_RPM="100"), generations_per_minute=1)
    assert headers(ask(client))[:2] == ["1", "0"]
    problem = ask(client).get_json()
    assert (problem["error"], problem["limit"]["applies_to"]) == ("rate-limited", "you")
    shown = [(item["applies_to"], item["used"], item["most"]) for item in client.get(URL).get_json()["items"]]
    assert shown == [("you", "1", "1"), ("everyone", "1", "100")]


def test_a_budget_of_tokens_counts_what_was_billed(make_app: MakeApp) -> None:
    client = with_allowance(make_app(), tokens_per_day=10_000)
    first = ask(client)
    tokens = first.get_json()["total_tokens"]
    item = limits(client)["tokens-per-day"]
    assert (item["used"], item["reserved"], item["left"]) == (str(tokens), "0", str(10_000 - tokens))
    ask(client)
    assert limits(client)["tokens-per-day"]["used"] == str(tokens), "a hit costs nothing"
    assert int(headers(first)[1]) < 10_000 - 4096, "while the call was under way"
    assert headers(first)[3] == '"tokens-per-day";q=10000;w=86400;qu="tokens"'


@pytest.mark.parametrize("model", ["fault-other-api", "fault-other-api-json", "fault-no-events", "fault-html"])
def test_answers_of_a_foreign_dialect_cost_nothing(make_app: MakeApp, upstream: Upstream, model: str) -> None:
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=model)
    client, before = with_allowance(app, tokens_per_day=6000), len(upstream.calls)
    refused = [ask(client, number) for number in range(9)]
    assert {answer.get_json()["error"] for answer in refused} == {"upstream-invalid-response"}
    item = limits(client)["tokens-per-day"]
    assert (item["used"], item["reserved"]) == ("0", "0")
    assert len(upstream.calls) - before == 9, "each is tried once"


def test_the_wait_for_a_model_that_is_being_loaded_costs_nothing(make_app: MakeApp, upstream: Upstream) -> None:
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="loading-1000000", APP_DEADLINE_S="12")
    client = with_allowance(app, tokens_per_day=6000)
    refused = ask(client)
    assert (refused.status_code, refused.get_json()["error"]) == (503, "upstream-unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    (item,) = client.get("/api/v1/history").get_json()["items"]
    attempts = client.get(f"/api/v1/history/{item['request_id']}").get_json()["attempts"]
    assert attempts == len(upstream.calls_of("loading-1000000")) > 1, "the budget has no room for a second reservation"
    limit = limits(client)["tokens-per-day"]
    assert (limit["used"], limit["reserved"]) == ("0", "0")
    upstream_state = client.get("/api/v1/status").get_json()["upstream"]
    assert (upstream_state["circuit"], upstream_state["retries_last_minute"]) == ("closed", 0)


def test_a_budget_that_has_no_room(make_app: MakeApp) -> None:
    client = with_allowance(make_app(APP_MAX_OUTPUT_TOKENS="50"), tokens_per_day=400)
    statuses = [ask(client, number).status_code for number in range(20)]
    assert sorted(set(statuses)) == [200, 402]
    assert statuses == sorted(statuses), "once there is no room there is none until tomorrow"
    refused = ask(client, 99)
    problem = refused.get_json()
    assert problem["error"] == "budget-exhausted"
    assert re.search(
        r"up to \d+ tokens, but only \d+ tokens of your budget of 400 tokens a day are left", problem["detail"]
    )
    assert int(refused.headers["Retry-After"]) <= 86_400
    assert datetime.fromisoformat(problem["limit"]["resets_at"]).strftime("%H:%M:%S") == "00:00:00"
    assert ask(client, 0).get_json()["cached"] is True, "what was answered is still given"
    total = client.get("/api/v1/usage").get_json()["total"]
    assert total["input_tokens"] + total["output_tokens"] == int(limits(client)["tokens-per-day"]["used"]) <= 400


def test_a_budget_that_one_call_could_never_fit_says_so(make_app: MakeApp) -> None:
    refused = ask(with_allowance(make_app(), tokens_per_day=100))
    assert (refused.status_code, refused.get_json()["error"]) == (402, "budget-exhausted")
    assert "more than your budget of 100 tokens a day" in refused.get_json()["detail"]
    assert "Retry-After" not in refused.headers


def test_a_budget_of_money(priced: Callable[..., Flask]) -> None:
    client = priced(APP_BUDGET_USD_DAY="0.01").test_client()
    first = ask(client)
    assert headers(first)[3] == '"usd-per-day";q=10000;w=86400;qu="micro-usd"'
    item = limits(client)["usd-per-day"]
    assert (item["most"], item["used"], item["applies_to"]) == ("0.01", first.get_json()["cost_usd"], "everyone")
    assert Decimal(item["left"]) == Decimal("0.01") - Decimal(item["used"])
    assert ask(priced(APP_BUDGET_USD_DAY="0.001").test_client(), 1).status_code == 402


def test_a_budget_of_money_refuses_what_has_no_price(make_app: MakeApp) -> None:
    client = make_app(APP_BUDGET_USD_DAY="5").test_client()
    refused = ask(client)
    problem = refused.get_json()
    assert (refused.status_code, problem["error"], problem["errors"][0]["field"]) == (422, "unknown-model", "model")
    assert "no known price" in problem["detail"]
    assert limits(client)["usd-per-day"]["reserved"] == "0"


def test_calls_at_once(make_app: MakeApp, upstream: Upstream) -> None:
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_MODELS="normal,slow-1")
    client = with_allowance(app, concurrent=1)
    slow: list[TestResponse] = []
    # A test client is for one thread at a time.
    other = app.test_client()
    other.environ_base.update(client.environ_base)
    thread = threading.Thread(target=lambda: slow.append(ask(other, model="slow-1")))
    thread.start()
    services = services_of(app)
    while not len(services.in_flight):
        thread.join(0.01)
    refused = ask(client, 1)
    thread.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert headers(refused) == ["1", "0", "1", '"concurrent-calls";q=1']
    assert slow[0].status_code == ask(client, 1).status_code == 200


def test_a_budget_sends_the_bound_that_it_reserves(make_app: MakeApp, upstream: Upstream) -> None:
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal")
    client = with_allowance(app, tokens_per_day=50_000)
    ask(client)
    assert upstream.calls[-1]["body"]["max_output_tokens"] == 4096
    preview = client.post("/api/v1/templates/basic_chat_v1/preview", json={"input": "Hello"})
    assert preview.get_json()["max_output_tokens"] == 4096


@pytest.mark.parametrize(
    ("model", "charged"),
    [
        ("fault-401", 0),
        ("fault-500", 0),
        ("fault-too-long", 0),
        ("fault-failed-usage", None),
        ("fault-eof-after-3", 3),
        ("fault-failed-rate-limit", 1),
        ("fault-failed-quota", 1),
        ("fault-failed-too-long", 1),
    ],
)
def test_what_a_failed_call_is_charged(make_app: MakeApp, upstream: Upstream, model: str, charged: int | None) -> None:
    """In attempts at their most; None = as reported."""
    app = make_app(
        OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_MODELS=f"normal,{model}", APP_DEADLINE_S="20"
    )
    client = with_allowance(app, tokens_per_day=50_000)
    assert ask(client, model=model).status_code >= 400
    item, total = limits(client)["tokens-per-day"], client.get("/api/v1/usage").get_json()["total"]
    assert (item["reserved"], total["unknown_usage"]) == ("0", int(charged is not None))
    if charged is None:
        assert int(item["used"]) == total["input_tokens"] + total["output_tokens"] > 0
    else:
        assert charged * 4096 <= int(item["used"]) <= charged * 4600


def test_an_idempotency_key_is_free_again_after_a_refusal_and_a_repeat_is_no_generation(make_app: MakeApp) -> None:
    client = with_allowance(make_app(), generations_per_minute=1)
    first = [client.post(GENERATE, json=BODY, headers={"Idempotency-Key": "one"}) for _ in range(3)]
    assert [answer.status_code for answer in first] == [200, 200, 200]
    refused = [client.post(GENERATE, json=BODY, headers={"Idempotency-Key": "two"}) for _ in range(2)]
    assert [answer.status_code for answer in refused] == [429, 429]


def test_without_a_history_limits_hold_as_well(make_app: MakeApp) -> None:
    client = make_app(APP_HISTORY="off", APP_BUDGET_TOKENS_DAY="10000").test_client()
    tokens = ask(client).get_json()["total_tokens"]
    assert limits(client)["tokens-per-day"]["used"] == str(tokens)
    assert limits(client)["tokens-per-day"]["reserved"] == "0"


def test_it_is_logged(make_app: MakeApp, log_lines: list[str]) -> None:
    client = with_allowance(make_app(), generations_per_minute=0)
    ask(client)
    (line,) = [line for line in map(json.loads, log_lines) if line["event"] == "limited"]
    assert (line["error"], line["limit"], line["owner"]) == ("rate-limited", "generations-per-minute", "alice")
    assert line["key_id"]


def test_the_page_says_what_to_do_next_where_the_answer_would_be(make_app: MakeApp) -> None:
    client = with_allowance(make_app(), tokens_per_day=100)
    form = {"template_id": "basic_chat_v1", "input": "Hello", "p.tone": "simple"}
    for path in ("/", "/generate/answer"):
        page = client.post(path, data=form, headers=OWN_PAGE)
        assert page.status_code == 402
        assert "Daily budget reached" in page.text
        assert "Tokens per day: 100 of 100 left, resets at" in page.text
        assert 'href="/usage#limits"' in page.text
        assert "Hello" in page.text or path != "/"


def test_the_usage_page_shows_how_they_stand(make_app: MakeApp) -> None:
    client = with_allowance(make_app(APP_LIMIT_RPM="60"), tokens_per_day=10_000, usd_per_day=None)
    tokens = ask(client).get_json()["total_tokens"]
    page = client.get("/usage").text
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in page.partition('id="limits"')[2].split("<tr>")[2:4]]
    assert [cells[:2] for cells in rows] == [["Tokens per day", "you"], ["Generations per minute", "everyone"]]
    assert [cell for cell in rows[0] if cell][2:6] == [f"{10_000 - tokens:,}", "10,000", str(tokens), "0"]
    assert 'id="limits"' not in make_app().test_client().get("/usage").text


def test_the_document_has_them(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    answers = document["paths"][GENERATE]["post"]["responses"]
    for status in ("200", "402", "429"):
        assert set(HEADERS) <= set(answers[status]["headers"]), status
    assert "Retry-After" in answers["429"]["headers"]
    assert json.dumps(answers["402"]).count("budget-exhausted") > 0
