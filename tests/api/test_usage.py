from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.core.usage.sums import COUNTS
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

URL = "/api/v1/usage"
SUMS = {*COUNTS, "cost_usd", "saved_usd", "latency_p50_ms", "latency_p95_ms"}
PRICES = 'normal: {input: "1", cached_input: "0.5", output: "2"}\n'


def ask(client: FlaskClient, **more: object) -> dict[str, object]:
    return client.post(GENERATE, json={**BODY, **more}).get_json()  # type: ignore[no-any-return]


def test_nothing_yet(client: FlaskClient) -> None:
    body = client.get(URL).get_json()
    assert (body["group_by"], body["since"], body["until"], body["time_zone"], body["items"]) == (
        "day",
        None,
        None,
        "UTC",
        [],
    )
    assert body["total"].keys() == SUMS
    assert {body["total"][name] for name in COUNTS} == {0}
    assert (body["total"]["cost_usd"], body["total"]["latency_p50_ms"]) == ("0", None)


def test_a_day(client: FlaskClient) -> None:
    first = ask(client)
    ask(client)
    body = client.get(URL).get_json()
    (item,) = body["items"]
    assert item.keys() == {"day", *SUMS}
    assert item["day"] == str(first["created_at"])[:10]
    assert {**item, "day": None} == {**body["total"], "day": None}
    assert (item["requests"], item["hits"], item["completed"]) == (2, 1, 2)
    assert (item["input_tokens"], item["saved_input_tokens"]) == (first["input_tokens"], first["input_tokens"])
    assert (item["output_tokens"], item["saved_output_tokens"]) == (first["output_tokens"], first["output_tokens"])
    assert (item["unknown_usage"], item["unknown_price"], item["cost_usd"]) == (0, 2, "0"), "the echo has no price"


@pytest.mark.parametrize(
    ("group_by", "key"),
    [
        ("template", {"template_id": "basic_chat_v1"}),
        ("model", {"model": "echo"}),
        ("owner", {"owner": "local"}),
    ],
)
def test_by(client: FlaskClient, group_by: str, key: dict[str, str]) -> None:
    revision = ask(client)["template_revision"]
    (item,) = client.get(f"{URL}?group_by={group_by}").get_json()["items"]
    assert {name: value for name, value in item.items() if name not in SUMS} == key
    (item,) = client.get(f"{URL}?group_by=revision").get_json()["items"]
    assert (item["template_id"], item["template_revision"]) == ("basic_chat_v1", revision)


def test_within_a_time(client: FlaskClient) -> None:
    ask(client)
    body = client.get(f"{URL}?since=2026-01-01T10:20:30%2B01:00&until=2026-01-02").get_json()
    assert (body["since"], body["until"], body["items"]) == ("2026-01-01T09:00:00Z", "2026-01-02T00:00:00Z", [])
    assert client.get(f"{URL}?since=2026-01-01").get_json()["total"]["requests"] == 1


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=hour", "group_by"),
        ("group_by=", "group_by"),
        ("since=yesterday", "since"),
        ("since=2026-11-24T08:00:00+01:00", "since"),
        ("until=2026-02-30", "until"),
        ("since=2026-01-02&until=2026-01-02", "until"),
        ("since=2026-01-01&since=2026-01-02", "since"),
        ("day=2026-01-01", "day"),
        ("until=%00", "until"),
    ],
)
def test_bad_query(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"{URL}?{query}")
    assert (response.status_code, response.get_json()["error"]) == (422, "invalid-input")
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


def test_wrong_method(client: FlaskClient) -> None:
    assert client.post(URL).status_code == 405


def test_money_of_a_call_and_of_a_hit(make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(PRICES)
    app: Flask = make_app(
        OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_PRICES_FILE=str(tmp_path / "prices.yaml")
    )
    client = app.test_client()
    paid, hit = ask(client), ask(client)
    tokens_in, tokens_out = int(paid["input_tokens"]), int(paid["output_tokens"])  # type: ignore[call-overload]
    cost = f"{(tokens_in - 2) * 1 + 2 * 0.5 + tokens_out * 2:.0f}"
    expected = f"0.{int(cost):06}".rstrip("0")
    assert (paid["cost_usd"], paid["saved_usd"], hit["cost_usd"], hit["saved_usd"]) == (expected, "0", "0", expected)
    total = client.get(URL).get_json()["total"]
    assert (total["cost_usd"], total["saved_usd"], total["unknown_price"]) == (expected, expected, 0)
    entry = client.get(f"/api/v1/history/{hit['request_id']}").get_json()
    assert entry["price_version"].startswith("prices.yaml ")
    assert entry["billed"] == {
        "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0
    }  # fmt: skip


def test_deleting_the_history_keeps_the_sums(client: FlaskClient) -> None:
    ask(client)
    before = client.get(URL).get_json()
    client.delete("/api/v1/history")
    assert client.get(URL).get_json() == before


def test_the_end_of_time(client: FlaskClient) -> None:
    for query in ("until=9999-12-31T23:59:59Z", "since=9999-12-31T23:59:59-23:59"):
        response = client.get(f"/api/v1/usage?{query}")
        assert response.status_code == 200
        assert "9999-12-31T23:00:00Z" in (response.get_json()["since"], response.get_json()["until"])
