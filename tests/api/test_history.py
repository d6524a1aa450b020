import csv
import io
import json

import pytest
from flask.testing import FlaskClient

from tests.support.hostile import NASTY
from tests.support.requests import BODY, FIELDS, GENERATE

URL = "/api/v1/history"
MISSING = "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"


def ask(client: FlaskClient, count: int = 1) -> list[str]:
    return [client.post(GENERATE, json={**BODY, "input": f"Text {n}"}).get_json()["request_id"] for n in range(count)]


def test_pages_both_ways(client: FlaskClient) -> None:
    ids = ask(client, 5)[::-1]
    first = client.get(f"{URL}?limit=2").get_json()
    second = client.get(f"{URL}?limit=2&cursor={first['next']}").get_json()
    last = client.get(f"{URL}?limit=2&cursor={second['next']}").get_json()
    assert [[item["request_id"] for item in page["items"]] for page in (first, second, last)] == [
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


@pytest.mark.shared_app
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
        "options",
        "error",
        "attempts",
        "billed",
        "price_version",
        "cache_key",
        "finished_at",
        "starred",
        "tags",
    }
    assert (entry["input"], entry["parameters"], entry["error"]) == ("Hello", {"tone": "simple"}, None)


@pytest.mark.shared_app
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
    assert [item["request_id"] for item in client.get(URL).get_json()["items"]] == [second]
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


def test_filters_and_search(client: FlaskClient) -> None:
    first, second = ask(client, 2)
    hit = ask(client)[0]
    for query, found in [
        ("q=text", [hit, second, first]), ("q=%22text+1%22", [second]), ("q=model+1", [second]), ("q=-1", [hit, first]),
        ("q=", [hit, second, first]), ("q=!!!", []), ("q=%F0%9F%98%80", []), ("cached=true", [hit]), ("cached=false&q=0", [first]),
        ("template_id=summarize_v1", []), ("model=echo&status=completed", [hit, second, first]), ("status=failed", []),
        ("since=2020-01-01", [hit, second, first]), ("until=2020-01-01T00:00:00%2B02:00", []), ("since=2020-01-01&until=9999-01-01", [hit, second, first]),
    ]:  # fmt: skip
        items = client.get(f"{URL}?{query}").get_json()["items"]
        assert [item["request_id"] for item in items] == found, query
    (item,) = client.get(f"{URL}?q=%22text+1%22").get_json()["items"]
    assert (item["match"], item["snippet"]) == ("Text 1", "Text 1")
    assert client.get(URL).get_json()["items"][0]["match"] is None


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("query", "field"),
    [("q=" + "a" * 501, "q"), ("status=done", "status"), ("cached=yes", "cached"), ("since=yesterday", "since"), ("until=2026-02-30", "until"),
     ("since=2026-11-01T00:00:00+00:00", "since"), ("since=20261101", "since"),
     ("model=" + "m" * 201, "model"), ("template_id=%00", "template_id"), ("q=a&q=b", "q"), ("page=1", "page")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["", "/export"])
def test_bad_filters_are_named(client: FlaskClient, path: str, query: str, field: str) -> None:
    response = client.get(f"{URL}{path}?{query}")
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


@pytest.mark.shared_app
@pytest.mark.parametrize("text", [text for text in NASTY if len(text) <= 500 and "\ud800" not in text])
def test_no_search_breaks_it(client: FlaskClient, text: str) -> None:
    ask(client)
    assert client.get(URL, query_string={"q": text}).status_code == 200


@pytest.mark.shared_app
@pytest.mark.parametrize("query", ["q=%00", "q=%ff", "q=';DROP TABLE answers", "q=%25", "q=_", "q=a%00b"])
def test_odd_bytes_are_searched_for_literally(client: FlaskClient, query: str) -> None:
    ask(client)
    assert client.get(f"{URL}?{query}").get_json()["items"] == []


def test_a_search_of_100_kB_is_refused(client: FlaskClient) -> None:
    assert client.get(URL, query_string={"q": "a" * 100_000}).status_code == 422


def test_export(client: FlaskClient) -> None:
    ids = ask(client, 3)
    for address in (f"{URL}/export", f"{URL}/export?format=json"):
        response = client.get(address)
        document = json.loads(response.data)
        assert [item["request_id"] for item in document["items"]] == ids[::-1]
        assert document["items"][0]["output"] == "Echo (no model was asked): Text 2"
        assert response.headers["Content-Disposition"] == 'attachment; filename="history.json"'
    assert client.get(f"{URL}/export?format=xml").status_code == 422
    assert [item["request_id"] for item in json.loads(client.get(f"{URL}/export?q=1").data)["items"]] == [ids[1]]
    client.delete(URL)
    assert json.loads(client.get(f"{URL}/export").data)["items"] == []
    assert client.get(f"{URL}/export?format=jsonl").data == b""


@pytest.mark.shared_app
@pytest.mark.parametrize(
    ("accept", "path", "status"),
    [
        ("text/csv", "/export?format=csv", 200),
        ("text/csv; header=present", "/export?format=csv", 200),
        ("application/jsonl", "/export?format=jsonl", 200),
        ("application/json;charset=utf-8", "/export", 200),
        ("text/html", "/export", 406),
        ("text/csv", "", 406),
        ("application/json; charset=utf-8", "", 200),
        ("text/plain; charset=utf-8", "/{}/output.txt", 200),
        ("application/json", "/{}/output.txt", 200),
        ("text/event-stream", "/{}/events", 200),
        ("text/csv", "/{}/events", 406),
    ],
)
def test_each_address_accepts_its_own_types(client: FlaskClient, accept: str, path: str, status: int) -> None:
    (request_id,) = ask(client)
    response = client.get(URL + path.format(request_id), headers={"Accept": accept})
    assert response.status_code == status


def test_stars_and_tags(client: FlaskClient) -> None:
    first, second, third = ask(client, 3)
    entry = client.get(f"{URL}/{first}").get_json()
    assert (entry["starred"], entry["tags"]) == (False, [])
    marked = client.patch(f"{URL}/{first}", json={"starred": True, "tags": ["to  check", "a", "a"]}).get_json()
    assert marked == {**entry, "starred": True, "tags": ["a", "to check"]} == client.get(f"{URL}/{first}").get_json()
    assert client.patch(f"{URL}/{second}", json={"tags": ["a"]}).get_json()["starred"] is False
    assert client.patch(f"{URL}/{first}", json={}).get_json() == marked
    for query, found in [("starred=true", [first]), ("starred=false", [third, second]), ("tag=a", [second, first]), ("tag=a&starred=true", [first])]:  # fmt: skip
        items = client.get(f"{URL}?{query}").get_json()["items"]
        assert [item["request_id"] for item in items] == found
        assert [item["request_id"] for item in client.get(f"{URL}/export?{query}").get_json()["items"]] == found
    (item,) = client.get(f"{URL}?starred=true").get_json()["items"]
    assert (item["starred"], item["tags"]) == (True, ["a", "to check"])
    assert client.patch(f"{URL}/{first}", json={"starred": False, "tags": []}).get_json() == entry
    assert client.get(f"{URL}?starred=true").get_json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"starred": "yes"}, "starred"),
        ({"starred": None}, "starred"),
        ({"tags": "a"}, "tags"),
        ({"tags": [" "]}, "tags.0"),
        ({"tags": ["a", "b,c"]}, "tags.1"),
        ({"tags": ["x" * 41]}, "tags.0"),
        ({"tags": [1]}, "tags.0"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"stars": True}, "stars"),
    ],
)
def test_bad_marks_are_named(client: FlaskClient, body: dict[str, object], field: str) -> None:
    (request_id,) = ask(client)
    response = client.patch(f"{URL}/{request_id}", json=body)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == [field]
    assert client.patch(f"{URL}/{MISSING}", json={"starred": True}).status_code == 404


def test_a_csv_for_excel(client: FlaskClient) -> None:
    """Excel misreads a file without a byte order mark, and cuts long cells: it is said which."""
    client.post(GENERATE, json={**BODY, "input": "日本語 🙂"})
    export = client.get(f"{URL}/export?format=csv&bom=1")
    assert export.data.startswith(b"\xef\xbb\xbfrequest_id,")
    plain = client.get(f"{URL}/export?format=csv&bom=0").data
    assert export.data[3:] == plain == client.get(f"{URL}/export?format=csv").data
    (row,) = csv.DictReader(io.StringIO(export.data.decode("utf-8-sig")))
    assert (row["input"], row["starred"], row["tags"], row["over_excel_limit"]) == ("日本語 🙂", "false", "", "")
    assert client.get(f"{URL}/export?format=json&bom=1").get_json()["items"]
    assert client.get(f"{URL}/export?format=csv&bom=yes").status_code == 422


def test_export_as_lines(client: FlaskClient) -> None:
    ids = ask(client, 3)
    response = client.get(f"{URL}/export?format=jsonl")
    assert (response.mimetype, response.headers["Content-Disposition"]) == (
        "application/jsonl",
        'attachment; filename="history.jsonl"',
    )
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [item["request_id"] for item in lines] == ids[::-1]
    assert lines[0] == client.get(f"{URL}/{ids[2]}").get_json()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠1", '=HYPERLINK("http://x";"y")']
)
def test_a_csv_runs_no_formulas(client: FlaskClient, text: str) -> None:
    client.post(GENERATE, json={**BODY, "input": text})
    response = client.get(f"{URL}/export?format=csv")
    head, row = csv.reader(io.StringIO(response.text, newline=""))
    assert dict(zip(head, row, strict=True))["input"] == f"'{text}"
    exact = client.get(f"{URL}/export?format=jsonl").get_json(force=True)
    assert exact["input"] == text


def test_a_csv_is_rfc_4180(client: FlaskClient) -> None:
    text = 'a "quoted", word\r\nand a line'
    answer = client.post(GENERATE, json={**BODY, "input": text}).get_json()
    response = client.get(f"{URL}/export?format=csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="history.csv"'
    assert b'"a ""quoted"", word\r\nand a line"' in response.data
    assert response.data.endswith(b"\r\n")
    head, row = csv.reader(io.StringIO(response.text, newline=""))
    entry = client.get(f"{URL}/{answer['request_id']}").get_json()
    billed = {f"billed_{name}" for name in entry.pop("billed")}
    assert set(head) == set(entry) | billed | {"over_excel_limit"}, "a column for each member"
    values = dict(zip(head, row, strict=True))
    assert (values["input"], values["parameters"], values["cost_usd"], values["cached"]) == (
        text,
        '{"tone": "simple"}',
        "",
        "false",
    )


@pytest.mark.shared_app
@pytest.mark.parametrize("path", ["", "/export", f"/{MISSING}", f"/{MISSING}/output.txt"])
def test_wrong_method(client: FlaskClient, path: str) -> None:
    response = client.post(URL + path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
