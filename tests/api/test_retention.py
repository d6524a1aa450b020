"""What is kept, for how long, and that what is deleted is gone: from rows, search, cache and bytes."""

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from llm_service.adapters.sql.retention import SqlRetention
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.app import services_of
from llm_service.bootstrap.build import make_id
from llm_service.core.access.caller import LOCAL
from llm_service.core.generation.model import Delta, GenerateRequest
from tests.support.command_line import flask
from tests.support.constants import OWN_PAGE
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

URL = "/api/v1/history"
CANARY = "zanzibarquux"
DAY_MS = 24 * 3600 * 1000
MakeApp = Callable[..., Flask]


def ask(client: FlaskClient, words: str = f"about {CANARY}") -> dict[str, object]:
    response = client.post(GENERATE, json={**BODY, "input": words})
    assert response.status_code == 200
    return response.get_json()  # type: ignore[no-any-return]


def files_with(folder: Path, word: str) -> list[str]:
    """The database's files that hold the word in their bytes.

    Read by another process: to close a file of SQLite's here would give up the locks that SQLite holds on it.
    """
    files = [str(path) for path in folder.iterdir() if path.name.startswith("test.db")]
    found = subprocess.run(["grep", "-l", "-a", "-i", "-F", word, *files], capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.split()


def age(folder: Path, days: float) -> None:
    database = Database(f"sqlite:///{folder}/test.db")
    shift = text("UPDATE generations SET created_ms = created_ms - :ms")
    database.write(lambda connection: connection.execute(shift, {"ms": days * DAY_MS}))
    database.close()


@pytest.mark.parametrize("mode", ["full", "metadata", "off"])
def test_the_caller_gets_the_whole_answer_in_every_mode(make_app: MakeApp, mode: str) -> None:
    client = make_app(APP_HISTORY=mode).test_client()
    first, hit = ask(client), ask(client)
    assert (first["cached"], hit["cached"]) == (False, True)
    assert first["output"] == hit["output"] == f"Echo (no model was asked): about {CANARY}"
    assert CANARY in str(hit["user_prompt"])
    stream = client.post(GENERATE, json={**BODY, "input": "streamed", "stream": True})
    assert "event: done" in stream.text
    page = client.post(
        "/", data={"template_id": "basic_chat_v1", "input": "From the page"}, headers=OWN_PAGE, follow_redirects=True
    )
    assert "Echo (no model was asked): From the page" in page.text


def test_metadata_keeps_rows_without_texts(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(APP_HISTORY="metadata").test_client()
    answer = ask(client)
    ask(client)
    entry = client.get(f"{URL}/{answer['request_id']}").get_json()
    assert [entry[name] for name in ("input", "parameters", "system_prompt", "user_prompt", "output")] == [None] * 5
    assert (entry["status"], entry["total_tokens"]) == ("completed", answer["total_tokens"])
    items = client.get(URL).get_json()["items"]
    assert [(item["cached"], item["snippet"]) for item in items] == [(True, ""), (False, "")]
    assert client.get(f"{URL}?q={CANARY}").get_json()["items"] == []
    assert "texts of this generation are not stored" in client.get(f"/history/{answer['request_id']}").text
    assert client.get(f"{URL}/{answer['request_id']}/output.txt").status_code == 404
    assert files_with(tmp_path, CANARY) == []


def test_off_keeps_nothing(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(APP_HISTORY="off").test_client()
    answer = ask(client)
    assert client.get(URL).get_json() == {"items": [], "next": None, "prev": None}
    assert client.get(f"{URL}/{answer['request_id']}").status_code == 404
    assert client.delete(URL).get_json() == {"deleted": 0}
    assert "No generations yet" in client.get("/history").text
    assert files_with(tmp_path, CANARY) == []


@pytest.mark.slow
def test_off_still_deletes_what_was_kept_before(make_app: MakeApp, tmp_path: Path) -> None:
    ask(make_app().test_client())
    client = make_app(APP_HISTORY="off").test_client()
    assert files_with(tmp_path, CANARY) != []
    assert client.delete(URL).get_json() == {"deleted": 1}
    url = f"sqlite:///{tmp_path}/test.db"
    assert flask(tmp_path, "history", "prune", DATABASE_URL=url, APP_HISTORY="off").returncode == 0
    assert files_with(tmp_path, CANARY) == []


@pytest.mark.parametrize("mode", ["full", "metadata", "off"])
def test_usage_is_counted_in_every_mode(make_app: MakeApp, upstream: Upstream, tmp_path: Path, mode: str) -> None:
    (tmp_path / "prices.yaml").write_text('normal: {input: "2", output: "3"}')
    prices = {"APP_PRICES_FILE": str(tmp_path / "prices.yaml")}
    client = make_app(
        APP_HISTORY=mode, OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", **prices
    ).test_client()
    first, _hit = ask(client), ask(client)
    total = client.get("/api/v1/usage").get_json()["total"]
    assert (total["requests"], total["hits"]) == (2, 1)
    assert (total["input_tokens"], total["saved_input_tokens"]) == (first["input_tokens"], first["input_tokens"])
    assert (total["cost_usd"], total["saved_usd"]) == (first["cost_usd"], first["cost_usd"])
    assert first["cost_usd"] is not None


@pytest.mark.parametrize("mode", ["metadata", "off"])
def test_a_key_needs_an_answer_to_repeat(make_app: MakeApp, mode: str) -> None:
    client = make_app(APP_HISTORY=mode).test_client()
    response = client.post(GENERATE, json=BODY, headers={"Idempotency-Key": "k-1"})
    assert (response.status_code, response.get_json()["errors"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize("mode", ["full", "metadata", "off"])
def test_one_that_is_stopped_comes_back_with_its_text(make_app: MakeApp, upstream: Upstream, mode: str) -> None:
    app = make_app(APP_HISTORY=mode, OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="tokens-200-20")
    asked = GenerateRequest("basic_chat_v1", "Hello")
    with closing(services_of(app).generation.begin(asked, LOCAL, make_id())) as subscription:
        assert isinstance(subscription.next(5), Delta)
        stopped = app.test_client().post(f"{URL}/{subscription.generation.request_id}/cancel").get_json()
    assert stopped["status"] == "cancelled"
    assert stopped["output"]
    assert len(services_of(app).in_flight) == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one", "all", "prune"])
def test_deleted_text_is_gone_at_once_and_from_the_bytes_after_a_prune(
    make_app: MakeApp, tmp_path: Path, way: str
) -> None:
    app = make_app()
    client = app.test_client()
    for number in range(150):
        ask(client, f"other words {number}")
    answer = ask(client)
    assert files_with(tmp_path, CANARY) != []
    if way == "one":
        client.delete(f"{URL}/{answer['request_id']}")
    elif way == "all":
        assert client.delete(URL).get_json() == {"deleted": 151}
    else:
        age(tmp_path, 31)
    done = flask(tmp_path, "history", "prune", DATABASE_URL=f"sqlite:///{tmp_path}/test.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Deleted {151 if way == 'prune' else 0} generations.\n"
    assert files_with(tmp_path, CANARY) == []
    assert client.get(f"{URL}?q={CANARY}").get_json()["items"] == []
    assert len(client.get(f"{URL}?q=other&limit=200").get_json()["items"]) == (150 if way == "one" else 0)
    if way != "prune":
        assert ask(client)["cached"] is False, "the cache has forgotten it too"


def test_only_what_is_too_old_is_pruned(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(APP_HISTORY_DAYS="7")
    client = app.test_client()
    old = ask(client)
    age(tmp_path, 8)
    hit, new = ask(client), ask(client, "new")
    storage: Any = services_of(app).storage
    assert SqlRetention(storage).prune(time.time_ns() // 1_000_000 - 7 * DAY_MS) == 1
    assert [item["request_id"] for item in client.get(URL).get_json()["items"]] == [
        new["request_id"],
        hit["request_id"],
    ]
    assert client.get(f"{URL}/{old['request_id']}").status_code == 404
    assert client.get(f"{URL}/{hit['request_id']}").get_json()["output"] == hit["output"], "a hit keeps the texts alive"
    assert len(client.get(f"{URL}?q={CANARY}").get_json()["items"]) == 1


@pytest.mark.slow
def test_the_command_exports_what_the_filters_leave(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app().test_client()
    answer = ask(client)
    ask(client, "something else")
    place = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"}
    done = flask(tmp_path, "history", "export", "--q", CANARY, **place)
    assert json.loads(done.stdout)["request_id"] == answer["request_id"]
    flask(tmp_path, "history", "export", "--format", "csv", "--output", "out.csv", **place)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3
    bad = flask(tmp_path, "history", "export", "--since", "yesterday", **place)
    assert (bad.returncode, "since: must be a date" in bad.stderr) == (1, True)
