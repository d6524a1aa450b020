"""`since` and `until` are read alike wherever they are query arguments."""

import pytest
from flask.testing import FlaskClient

ADDRESSES = ("/api/v1/history", "/api/v1/history/export", "/api/v1/usage")
GOOD = (
    "2026-11-23", "2026-11-23T20:15", "2026-11-23 20:15", "2026-11-23T20:15Z", "2026-11-23T20:15:00", "2026-11-23t20:15:00z",
    "2026-11-23T20:15:00.123456789Z", "2026-11-23T20:15:00+05:30", "1969-12-31", "0001-01-01", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip
BAD = (
    "", "yesterday", "20261123", "2026-11", "2026-02-30", "2026-11-23T24:00", "2026-11-23T20:15:60Z", "2026-11-23T20:15:00 05:30",
    "2026-11-23T20:15+24:00", "0000-01-01", "10000-01-01", "1795392000", "2026-W48-2", "٢٠٢٦-11-23", "2026-11-23\x00",
)  # fmt: skip


@pytest.mark.shared_app
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("field", ["since", "until"])
def test_all_addresses_read_the_same_texts(client: FlaskClient, address: str, field: str) -> None:
    for text in GOOD:
        assert client.get(address, query_string={field: text}).status_code == 200, text
    for text in BAD:
        response = client.get(address, query_string={field: text})
        assert (response.status_code, response.get_json()["error"]) == (422, "invalid-input"), text
        assert [error["field"] for error in response.get_json()["errors"]] == [field], text


@pytest.mark.shared_app
def test_usage_says_which_hours_it_took(client: FlaskClient) -> None:
    body = client.get("/api/v1/usage?since=0001-01-01T00:00:00%2B23:59&until=1969-12-31T23:30").get_json()
    assert (body["since"], body["until"]) == ("0001-01-01T00:00:00Z", "1969-12-31T23:00:00Z")
