import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.web.pages.numbers import exact_usd, usd
from tests.support.requests import post
from tests.support.upstream import Upstream

URL = "/usage"


@pytest.fixture(name="priced")
def _priced(make_app: Callable[..., Flask], upstream: Upstream, tmp_path: Path) -> FlaskClient:
    """One dollar per thousand tokens, and a model without a price."""
    (tmp_path / "prices.yaml").write_text("normal: {input: 1000, output: 1000}\n")
    app = make_app(
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal,fault-no-usage,fault-failed",
        APP_PRICES_FILE=str(tmp_path / "prices.yaml"),
    )
    return app.test_client()


def text_of(page: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", page).split())


def test_no_usage_yet(client: FlaskClient) -> None:
    page = client.get(URL).text
    assert "No usage in the last 30 days" in page
    assert 'href="/usage?range=7d"' in page
    assert "<svg" not in page


@pytest.mark.parametrize("name", ["24h", "7d", "30d", "90d"])
def test_each_range(client: FlaskClient, name: str) -> None:
    post(client, input="Hello")
    page = client.get(f"{URL}?range={name}").text
    assert f'<a href="/usage?range={name}" aria-current="true">' in page
    assert page.count("<g><title>") == 4, "one step with requests: nothing cost anything, and nothing failed"
    for title in (
        "Cost and savings",
        "Requests",
        "Tokens",
        "Cache hit rate",
        "Latency",
        "Errors",
        "Templates",
        "Models",
    ):
        assert f"<h2>{title}</h2>" in page


def test_an_unknown_range_is_refused(client: FlaskClient) -> None:
    response = client.get(f"{URL}?range=year")
    assert (response.status_code, response.mimetype) == (422, "text/html")
    assert "The time range must be one of: 24h, 7d, 30d, 90d. The page shows the last 30 days instead." in response.text


def test_days_that_people_choose(client: FlaskClient) -> None:
    post(client, input="Hello")
    today = datetime.now(UTC).date()
    page = client.get(f"{URL}?since=2026-01-31&until={today}&utm_source=mail").text
    assert 'name="since" value="2026-01-31"' in page
    assert f'name="until" value="{today}"' in page
    assert 'aria-current="true"' not in page.split("</nav>")[1], "none of the ranges"
    assert "Requests Total 1" in text_of(page)
    assert "No usage in 2026-01-01 to 2026-01-31" in client.get(f"{URL}?since=2026-01-01&until=2026-01-31").text
    assert "No usage in 2026-01-31<" in client.get(f"{URL}?since=2026-01-31&until=2026-01-31").text


def test_days_that_cannot_be_shown(client: FlaskClient) -> None:
    response = client.get(f"{URL}?since=2026-02-01&until=2026-01-31")
    assert response.status_code == 422
    assert "The last day must not be before the first day." in response.text
    assert 'name="until" value="2026-01-31"' in response.text, "to be corrected"
    assert "&#34;" in client.get(f"{URL}?since=%22%3Cb&until=2026-01-31").text


def test_numbers_without_a_script(priced: FlaskClient) -> None:
    post(priced, input="Hello")
    post(priced, input="Hello")
    post(priced, input="Hi", model="fault-no-usage")
    post(priced, input="Hi", model="fault-failed")
    page = priced.get(f"{URL}?range=24h").text
    shown = text_of(page)
    cost = usd(Decimal(priced.get("/api/v1/usage").get_json()["total"]["cost_usd"]))
    assert f"Cost Spent {cost} Saved {cost} Per request – Requests Total 4 Cache hit rate 25% Errors 1" in shown
    assert re.search(
        r"Speed and errors Latency p50 [0-9.]+ m?s Latency p95 [0-9.]+ m?s Error rate 25% Not included", shown
    )
    assert "Not included: 2 requests without token counts from the provider." in shown
    assert re.search(r"Template Share of cost .* basic_chat_v1 \$[0-9.]+ \$[0-9.]+ 4 25%", shown)
    assert re.search(r"fault-failed – – 1 0%", shown)
    assert re.search(r'aria-label="Cost and savings, [0-9]{2}:00 to [0-9]{2}:00: cost peaks at \$', page)
    assert f"cost {cost}, saved {cost}</title>" in page
    assert "style=" not in page


def test_an_unknown_cost_is_a_dash(client: FlaskClient) -> None:
    post(client, input="Hello")
    shown = text_of(client.get(URL).text)
    assert "Spent – Saved – Per request – Requests Total 1" in shown
    assert "Not included: the cost of 1 request to a model without a known price." in shown


def test_the_answer_shows_its_cost(priced: FlaskClient) -> None:
    paid = post(priced, input="Hello").headers["Location"].split("from=")[1]
    hit = post(priced, input="Hello").headers["Location"].split("from=")[1]
    amount = Decimal(priced.get(f"/api/v1/history/{paid}").get_json()["cost_usd"])
    about, exact = usd(amount), exact_usd(amount)
    assert f", {about}, " in text_of(priced.get(f"/history/{paid}").text)
    assert f"Cost {exact} (prices: prices.yaml" in text_of(priced.get(f"/history/{paid}").text)
    assert f"Cost $0 (cached), saved {exact} Model" in text_of(priced.get(f"/history/{hit}").text)
    assert f"Cost $0, saved {exact} (prices: prices.yaml" in text_of(priced.get(f"/history/{hit}").text)
    unknown = post(priced, input="Hi", model="fault-no-usage").headers["Location"].split("from=")[1]
    assert "Cost unknown Billed tokens – in, – out" in text_of(priced.get(f"/history/{unknown}").text)
