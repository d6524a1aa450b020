"""Honest accounting: whatever happens to requests, the sums are what the provider wrote down, to the token."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from tests.support.clocks import until
from tests.support.constants import OWN_PAGE
from tests.support.requests import GENERATE
from tests.support.upstream import Upstream

WORKERS = 12
# How many of each kind, in an order of their own: more than 500 generations.
MIX = {
    "asks_again": 260,  # one of forty texts: calls, hits and shared calls
    "streams": 60,
    "shares": 60,
    "repeats": 40,  # two requests each, with one Idempotency-Key
    "fails_once": 12,
    "fails_with_usage": 3,
    "is_cut_off": 12,
    "says_no_usage": 20,
    "says_no_details": 10,
    "is_incomplete": 15,
    "leaves": 8,
    "cancels": 6,
    "cancels_what_others_share": 4,
}
MODELS = {
    "fails_once": "once-failed",
    "fails_with_usage": "fault-failed-usage",
    "is_cut_off": "fault-eof-after-3",
    "says_no_usage": "fault-no-usage",
    "says_no_details": "fault-no-usage-details",
    "is_incomplete": "fault-incomplete",
}
SLOW = "tokens-60-20"


@pytest.fixture(name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="app")
def _app(make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    models = ["normal", "slow-0.3", "tokens-20-20", SLOW, *MODELS.values()]
    return make_app(
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS=",".join(models),
        APP_ABANDON_GRACE_S="0",
        APP_LOG_LEVEL="CRITICAL",
    )


class Requests:
    """One method for each kind of request; they run in several threads."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._made = count()

    @property
    def generations(self) -> int:
        """How many the requests so far must have come to; to be asked once."""
        return next(self._made) - MIX["repeats"]

    def make(self, kind: str, number: int) -> None:
        client, text = self._app.test_client(), f"text {kind} {number}"
        method = getattr(self, kind, None)
        if method is not None:
            method(client, text, number)
        else:
            self._ask(client, text, model=MODELS[kind])

    def _ask(self, client: FlaskClient, text: str, *, headers: dict[str, str] | None = None, **more: object) -> Any:
        body = {"template_id": "basic_chat_v1", "input": text, **more}
        next(self._made)
        return client.post(GENERATE, json=body, headers=headers, buffered=not more.get("stream"))

    def asks_again(self, client: FlaskClient, _text: str, number: int) -> None:
        self._ask(client, f"one of forty {number % 40}")

    def streams(self, client: FlaskClient, text: str, number: int) -> None:
        with self._ask(client, f"one of forty {number % 40}" if number % 2 else text, stream=True) as response:
            assert "event: done" in response.text

    def shares(self, client: FlaskClient, _text: str, number: int) -> None:
        self._ask(client, f"shared by many {number // 12}", model="slow-0.3")

    def repeats(self, client: FlaskClient, text: str, number: int) -> None:
        headers = {"Idempotency-Key": f"key-{number}"}
        first = self._ask(client, text, headers=headers).get_json()
        again = self._ask(client, text, headers=headers).get_json()
        assert again["request_id"] == first["request_id"]

    def leaves(self, client: FlaskClient, text: str, _number: int) -> None:
        response = self._ask(client, text, model=SLOW, stream=True)
        next(response.response)
        response.close()

    def cancels(self, client: FlaskClient, text: str, _number: int) -> None:
        with self._ask(client, text, model=SLOW, stream=True) as response:
            self._cancel(client, response)

    def cancels_what_others_share(self, client: FlaskClient, text: str, _number: int) -> None:
        """The request that started the call stops, and the call goes on."""
        with (
            self._ask(client, text, model="tokens-20-20", stream=True) as first,
            self._ask(self._app.test_client(), text, model="tokens-20-20", stream=True) as second,
        ):
            self._cancel(client, first)
            assert "event: done" in second.text

    def _cancel(self, client: FlaskClient, response: Any) -> None:
        request_id = response.headers["X-Request-ID"]
        assert client.post(f"/api/v1/history/{request_id}/cancel", headers=OWN_PAGE).get_json()["status"] == "cancelled"


def ledger_of(upstream: Upstream) -> dict[str, int]:
    def details(usage: dict[str, Any], part: str, name: str) -> int:
        return int((usage[part] or {}).get(name, 0))

    return {
        "input_tokens": sum(usage["input_tokens"] for usage in upstream.ledger),
        "cached_input_tokens": sum(details(call, "input_tokens_details", "cached_tokens") for call in upstream.ledger),
        "output_tokens": sum(usage["output_tokens"] for usage in upstream.ledger),
        "reasoning_tokens": sum(details(call, "output_tokens_details", "reasoning_tokens") for call in upstream.ledger),
    }


def test_the_sums_are_the_providers_own_to_the_token(app: Flask, upstream: Upstream) -> None:
    requests = Requests(app)
    order = [(kind, number) for kind, many in MIX.items() for number in range(many)]
    random.Random(7).shuffle(order)
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(requests.make, kind, number) for kind, number in order]:
            done.result()
    wait_for_the_background(app)

    client = app.test_client()
    total = client.get("/api/v1/usage").get_json()["total"]
    rows = list(services_of(app).history.export("local"))
    assert requests.generations == total["requests"] == len(rows) >= 500
    assert {name: total[name] for name in ledger_of(upstream)} == ledger_of(upstream)
    for kind in ("hits", "joined", "completed", "incomplete", "failed", "cancelled"):
        assert total[kind] > 0, kind
    check_rows_against(total, rows)

    client.delete("/api/v1/history", headers=OWN_PAGE)
    assert client.get("/api/v1/usage").get_json()["total"] == total


def wait_for_the_background(app: Flask) -> None:
    services = services_of(app)
    until(lambda: len(services.in_flight) == 0 and services.providers.state().in_flight == 0)
    # A bill that comes late is written after its call has given its slot back: until the sums stay as they are.
    sums = object()
    while sums != (sums := services.usage.report(None).total):
        time.sleep(0.3)


def check_rows_against(total: dict[str, Any], rows: list[Any]) -> None:
    """The history says the same, row by row."""
    billed = [row.billed for row in rows]
    assert total["input_tokens"] == sum(usage.input_tokens or 0 for usage in billed)
    assert total["output_tokens"] == sum(usage.output_tokens or 0 for usage in billed)
    spared = [row for row in rows if row.attempts == 0 and row.output and row.error is None]
    assert total["saved_input_tokens"] == sum(row.usage.input_tokens or 0 for row in spared)
    assert total["saved_output_tokens"] == sum(row.usage.output_tokens or 0 for row in spared)
    unknown = [row for row in rows if row.attempts and row.billed.input_tokens is None]
    unknown += [row for row in spared if row.usage.input_tokens is None]
    assert total["unknown_usage"] == len(unknown)
    assert all(row.cost_usd is None for row in rows if row.attempts), "these models have no price"
    assert all(row.cost_usd == 0 for row in rows if not row.attempts)
