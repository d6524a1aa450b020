import json

import pytest
from flask.testing import FlaskClient

from tests.api.test_generate import BODY, FIELDS
from tests.api.test_generate import URL as GENERATE

URL = "/api/v1/history"
MISSING = "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"


def ask(client: FlaskClient, count: int = 1) -> list[str]:
    return [client.post(GENERATE, json={**BODY, "input": f"Text {n}"}).get_json()["request_id"] for n in range(count)]


def test_pages_both_ways(client: FlaskClient) -> None:
    ids = ask(client, 5)[::-1]
    first = client.get(f"{URL}?limit=2").get_json()
    second = client.get(f"{URL}?limit=2&cursor={first['next']}").get_json()
    last = client.get(f"{URL}?limit=2&cursor={second['next']}").get_json()
    assert [[one["request_id"] for one in page["items"]] for page in (first, second, last)] == [
        ids[:2],
        ids[2:4],
        ids[4:],
    ]
    assert (first["prev"], last["next"]) == (None, None)
    assert client.get(f"{URL}?limit=2&cursor={second['prev']}").get_json()["items"] == first["items"]


def test_a_list_shows_no_texts(client: FlaskClient) -> None:
    ask(client)
    (item,) = client.get(URL).get_json()["items"]
    assert item["snippet"] == "Text 0"
    assert not {"output", "input", "system_prompt", "user_prompt"} & item.keys()


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=201", "limit=1e9", "limit=NaN", "limit=", "limit=1&limit=2", "cursor=x", "cursor=",
     "page=2", "cursor=%00", "cursor=%ff", "cursor=';DROP TABLE answers", "limit=99999999999999999999"],
)  # fmt: skip
def test_bad_query(client: FlaskClient, query: str) -> None:
    response = client.get(f"{URL}?{query}")
    assert (response.status_code, response.get_json()["error"]) == (422, "invalid-input")


def test_one_entry_whole(client: FlaskClient) -> None:
    answer = client.post(GENERATE, json=BODY).get_json()
    entry = client.get(f"{URL}/{answer['request_id']}").get_json()
    assert {name: entry[name] for name in FIELDS} == answer
    assert entry.keys() - FIELDS == {
        "input",
        "parameters",
        "provider",
        "error",
        "attempts",
        "billed",
        "price_version",
        "cache_key",
        "finished_at",
    }
    assert (entry["input"], entry["parameters"], entry["error"]) == ("Hello", {"tone": "simple"}, None)


@pytest.mark.parametrize("path", [MISSING, "0", "-1", "x" * 3000, "%00", "' OR 1=1", f"{MISSING}/output.txt"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_missing(client: FlaskClient, path: str, method: str) -> None:
    response = client.open(f"{URL}/{path}", method=method)
    expected = (405, "method-not-allowed") if method == "DELETE" and path.endswith(".txt") else (404, "not-found")
    assert (response.status_code, response.get_json()["error"]) == expected


def test_delete_one_is_real(client: FlaskClient) -> None:
    first, second = ask(client, 2)
    assert client.delete(f"{URL}/{first}").status_code == 204
    assert client.get(f"{URL}/{first}").status_code == 404
    assert [one["request_id"] for one in client.get(URL).get_json()["items"]] == [second]
    again = client.post(GENERATE, json={**BODY, "input": "Text 0"}).get_json()
    assert again["cached"] is False, "the cache has forgotten it too"


def test_delete_all(client: FlaskClient) -> None:
    ask(client, 3)
    assert client.delete(URL).get_json() == {"deleted": 3}
    assert client.get(URL).get_json() == {"items": [], "next": None, "prev": None}
    assert client.get("/api/v1/status").get_json()["cache_size"] == 0


def test_output_as_a_file(client: FlaskClient) -> None:
    (request_id,) = ask(client)
    response = client.get(f"{URL}/{request_id}/output.txt")
    assert response.text == "Echo (no model was asked): Text 0"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="generation-{request_id}.txt"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"{URL}/{request_id}/output.txt", headers={"Range": "bytes=99999-"}).status_code == 200


def test_export(client: FlaskClient) -> None:
    ids = ask(client, 3)
    for address in (f"{URL}/export", f"{URL}/export?format=json"):
        response = client.get(address)
        document = json.loads(response.data)
        assert [one["request_id"] for one in document["items"]] == ids[::-1]
        assert document["items"][0]["output"] == "Echo (no model was asked): Text 2"
        assert response.headers["Content-Disposition"] == 'attachment; filename="history.json"'
    assert client.get(f"{URL}/export?format=xml").status_code == 422
    client.delete(URL)
    assert json.loads(client.get(f"{URL}/export").data)["items"] == []


@pytest.mark.parametrize("path", ["", "/export", f"/{MISSING}", f"/{MISSING}/output.txt"])
def test_wrong_method(client: FlaskClient, path: str) -> None:
    response = client.post(URL + path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
