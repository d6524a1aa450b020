"""Streams, joining, cancelling and idempotency keys over HTTP.

Longer than other modules: all of them read streams with the same helpers.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.core.access.key_watch import KeyWatch
from llm_service.core.errors import Cancelled, ServiceError
from llm_service.core.generation.model import Delta
from llm_service.web.api.events import MAX_START_DELAY_S
from llm_service.web.http.problems import PROBLEMS
from llm_service.web.http.sse import DISCONNECT_CHECK_S, subscription_events
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY
from tests.support.upstream import Upstream
from tests.support.upstream_faults import ANSWERS, BRING_TEXT, FAILURES

URL = "/api/v1/generate"
SLOW = "tokens-20-40"


@pytest.fixture(name="app")
def _app(make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    return make_app(
        OPENAI_API_KEY=KEY_CANARY,
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS=f"normal,{SLOW},slow-1,slow-3,tokens-100-5,retry-after-2",
        APP_ABANDON_GRACE_S="0",
    )


def asked(**more: Any) -> dict[str, Any]:
    return {"template_id": "basic_chat_v1", "input": "Hello", "stream": True, **more}


def parse(chunks: Iterable[Any]) -> list[tuple[str, int, Any]]:
    """Name, id and data of each event."""
    events = []
    for block in b"".join(chunks).decode().split("\n\n"):
        if block and not block.startswith(":"):
            name, number, data = block.split("\n")
            events.append((name.removeprefix("event: "), int(number.removeprefix("id: ")), json.loads(data[6:])))
    return events


def text_of(events: list[tuple[str, int, Any]]) -> str:
    return "".join(data["text"] for name, _, data in events if name == "delta")


def test_a_stream(client: FlaskClient) -> None:
    response = client.post(URL, json=asked(input="H\u00e9llo \U0001f600"))
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-store, no-transform"
    assert response.headers["Cache-Status"] == "llm-service; fwd=miss"
    events = parse(response.response)
    (start, start_id, started), *_, (end, end_id, body) = events
    assert (start, start_id, end) == ("start", 0, "done")
    assert set(started) == {"request_id", "template_id", "template_revision", "model", "cached"}
    assert text_of(events) == body["output"] == "Answer to: H\u00e9llo \U0001f600"
    assert end_id == len(body["output"]) + 1
    position = 0
    for name, number, data in events[1:-1]:
        position += len(data["text"])
        assert (name, number) == ("delta", position)
    plain = client.post(URL, json=asked(input="H\u00e9llo \U0001f600", stream=False)).get_json()
    assert plain["cached"] is True, "a streamed answer serves plain callers"
    own = {"request_id", "cached", "latency_ms", "created_at", "cost_usd", "saved_usd"}
    assert {name: plain[name] for name in plain.keys() - own} == {name: body[name] for name in body.keys() - own}


def test_a_stored_answer_is_streamed_too(client: FlaskClient) -> None:
    client.post(URL, json=asked(stream=False))
    response = client.post(URL, json=asked())
    assert response.headers["Cache-Status"] == "llm-service; hit"
    events = parse(response.response)
    assert [name for name, _, _ in events] == ["start", "delta", "done"]
    assert events[0][2]["cached"] is events[2][2]["cached"] is True


# They bring text, too, but no call of theirs may be repeated.
TEXT_THEN_NO_END = {"fault-hang-after-3", "fault-drip", "fault-huge"}


@pytest.mark.parametrize("model", sorted(FAILURES))
def test_each_failure_in_a_stream(upstream_app: Flask, model: str) -> None:
    """Before the first event it keeps its status; behind it one `error` ends the stream."""
    client = upstream_app.test_client()
    response = client.post(URL, json=asked(model=model))
    code = "unknown-model" if model == "fault-404" else FAILURES[model].code
    if model not in BRING_TEXT | TEXT_THEN_NO_END:
        problem = response.get_json()
        assert (response.mimetype, problem["error"]) == ("application/problem+json", code)
        assert response.status_code == problem["status"] == PROBLEMS[code].status
        return
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    events = parse(response.response)
    names = [name for name, _, _ in events]
    assert (names[0], names[-1], names.count("error"), names.count("done")) == ("start", "error", 1, 0)
    problem = events[-1][2]
    assert problem["error"] == code
    row = client.get(f"/api/v1/history/{events[0][2]['request_id']}").get_json()
    assert (row["status"], row["error"], row["output"] or "") == ("failed", code, text_of(events))
    assert row["attempts"] == 1 if model in BRING_TEXT else row["attempts"] >= 1
    assert "secret" not in json.dumps(problem)


@pytest.mark.parametrize("model", sorted(ANSWERS))
def test_each_strange_answer_in_a_stream(upstream_app: Flask, model: str) -> None:
    status, output, _ = ANSWERS[model]
    events = parse(upstream_app.test_client().post(URL, json=asked(model=model)).response)
    assert (events[-1][0], events[-1][2]["status"], text_of(events)) == ("done", status, output)


def test_start_goes_out_before_a_slow_model_says_anything(client: FlaskClient) -> None:
    began = time.monotonic()
    chunks: Iterator[Any] = iter(client.post(URL, json=asked(model="slow-3")).response)
    assert next(chunks).startswith(b"event: start\nid: 0\n")
    assert time.monotonic() - began >= MAX_START_DELAY_S
    assert client.get("/api/v1/history").get_json()["items"][0]["status"] == "running"
    assert parse(list(chunks))[-1][0] == "done"


def test_joining_with_and_without_a_last_event_id(client: FlaskClient) -> None:
    response = client.post(URL, json=asked(model=SLOW))
    chunks = iter(response.response)
    request_id = parse([next(chunks)])[0][2]["request_id"]
    next(chunks)
    address = f"/api/v1/history/{request_id}/events"
    whole = parse(client.get(address).response)
    assert (whole[0][0], text_of(whole), whole[-1][0]) == ("start", "word " * 20, "done")
    for last in (0, 1, 7, 99, 100):
        rest = parse(client.get(address, headers={"Last-Event-ID": str(last)}).response)
        assert text_of(rest) == ("word " * 20)[last:]
        assert (rest[0][0] != "start", rest[-1][:2]) == (True, ("done", 101))
    for last in (101, 4000):
        nothing = client.get(address, headers={"Last-Event-ID": str(last)})
        assert (nothing.status_code, nothing.data) == (204, b""), "an EventSource would connect again for ever"
    assert parse(client.get(address, headers={"Last-Event-ID": "none"}).response)[-1][0] == "done"
    list(chunks)
    assert client.get("/api/v1/history/nope/events").status_code == 404


def test_cancel(client: FlaskClient, upstream: Upstream) -> None:
    response = client.post(URL, json=asked(model="tokens-100-5"))
    chunks = iter(response.response)
    request_id = parse([next(chunks)])[0][2]["request_id"]
    next(chunks)
    assert client.get(f"/api/v1/history/{request_id}").get_json()["status"] == "running"
    for _ in range(2):
        row = client.post(f"/api/v1/history/{request_id}/cancel").get_json()
        assert (row["status"], row["error"], row["total_tokens"]) == ("cancelled", "cancelled", None)
        assert row["output"].startswith("word ")
    name, _, problem = parse(list(chunks))[-1]
    assert (name, problem["error"], problem["status"]) == ("error", "cancelled", 409)
    until(lambda: services_of(client.application).providers.state().in_flight == 0)
    replay = parse(client.get(f"/api/v1/history/{request_id}/events").response)
    assert (replay[-1][0], replay[-1][2]["error"], text_of(replay)) == ("error", "cancelled", row["output"])
    last = {"Last-Event-ID": str(replay[-1][1])}
    assert client.get(f"/api/v1/history/{request_id}/events", headers=last).status_code == 204, "also after an error"


def test_a_plain_caller_of_a_cancelled_one_gets_409(app: Flask) -> None:
    answers: list[Any] = []
    body = asked(model="slow-3", stream=False)
    caller = threading.Thread(target=lambda: answers.append(app.test_client().post(URL, json=body)))
    caller.start()
    client = app.test_client()
    while not (items := client.get("/api/v1/history").get_json()["items"]):
        time.sleep(0.01)
    client.delete(f"/api/v1/history/{items[0]['request_id']}")
    caller.join(5)
    assert (answers[0].status_code, answers[0].get_json()["error"]) == (409, "cancelled")
    assert client.get("/api/v1/history").get_json()["items"] == []


def test_when_the_last_listener_leaves_the_call_ends(client: FlaskClient, upstream: Upstream) -> None:
    response = client.post(URL, json=asked(model="tokens-100-5"))
    chunks = iter(response.response)
    request_id = parse([next(chunks)])[0][2]["request_id"]
    next(chunks)
    response.close()
    until(lambda: client.get(f"/api/v1/history/{request_id}").get_json()["status"] != "running")
    row = client.get(f"/api/v1/history/{request_id}").get_json()
    assert (row["status"], row["output"][:5]) == ("cancelled", "word ")


def test_streaming_and_plain_callers_share_one_call(app: Flask, upstream: Upstream) -> None:
    before = len(upstream.calls_of("slow-1"))
    answers: list[Any] = [None] * 20

    def call(number: int) -> None:
        response = app.test_client().post(URL, json=asked(model="slow-1", stream=number % 2 == 0))
        answers[number] = (response.headers["Cache-Status"], response.data)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert len(upstream.calls_of("slow-1")) == before + 1
    bodies = [parse([data])[-1][2] if data.startswith(b"event") else json.loads(data) for _, data in answers]
    assert {body["output"] for body in bodies} == {"Answer to: Hello"}
    assert len({body["request_id"] for body in bodies}) == 20
    assert sorted(body["cost_usd"] or "-" for body in bodies) == ["-", *["0"] * 19]
    assert sum("collapsed" in status for status, _ in answers) == 19
    assert app.test_client().get("/api/v1/status").get_json()["cache"]["coalesced"] == 19
    assert {item["status"] for item in app.test_client().get("/api/v1/history").get_json()["items"]} == {"completed"}


# -- idempotency keys


def keyed(client: FlaskClient, key: str, **more: Any) -> Any:
    return client.post(URL, json={**asked(stream=False), **more}, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("first", ["miss", "hit"])
def test_a_replay_is_the_same_answer_byte_for_byte(client: FlaskClient, upstream: Upstream, first: str) -> None:
    if first == "hit":
        client.post(URL, json=asked(stream=False))
    answer = keyed(client, '"8e03978e-40d5-43dd-bc93-6894a57f9324"')
    assert "Idempotency-Replayed" not in answer.headers
    before = len(upstream.calls)
    for _ in range(3):
        again = keyed(client, "8e03978e-40d5-43dd-bc93-6894a57f9324")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.data == answer.data
    assert len(upstream.calls) == before
    rows = client.get("/api/v1/history").get_json()["items"]
    assert sum(row["request_id"] == answer.get_json()["request_id"] for row in rows) == 1
    assert len(rows) == (2 if first == "hit" else 1)


def test_a_key_belongs_to_one_body(client: FlaskClient) -> None:
    keyed(client, "k")
    other = keyed(client, "k", input="Another")
    assert (other.status_code, other.get_json()["error"]) == (422, "idempotency-mismatch")


def test_a_stream_with_a_key_under_way_is_joined(app: Flask, upstream: Upstream) -> None:
    client = app.test_client()
    before = len(upstream.calls_of(SLOW))
    first = client.post(URL, json=asked(model=SLOW), headers={"Idempotency-Key": "k"})
    started = parse([next(iter(first.response))])[0][2]
    again = client.post(URL, json=asked(model=SLOW), headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert "Cache-Status" not in again.headers
    other = client.post(URL, json=asked(model=SLOW, input="Another"), headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.get_json()["error"]) == (422, "idempotency-mismatch")
    first.close()  # its caller dies; the generation goes on, because the caller said that it would ask again
    events = parse(again.response)
    assert events[0][2] == started, "the first request's id"
    assert (text_of(events), events[-1][0]) == ("word " * 20, "done")
    assert events[-1][2]["request_id"] == started["request_id"]
    assert len(upstream.calls_of(SLOW)) == before + 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_under_way_in_another_process_is_joined(
    app: Flask, make_app: Callable[..., Flask], upstream: Upstream, stream: bool
) -> None:
    other = make_app(OPENAI_API_KEY=KEY_CANARY, OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL=SLOW)
    before = len(upstream.calls_of(SLOW))
    headers, body = {"Idempotency-Key": "k"}, asked(model=SLOW, stream=stream)
    answers: list[Any] = []
    first = threading.Thread(
        target=lambda: answers.append(app.test_client().post(URL, json=body, headers=headers).data)
    )
    first.start()
    until(lambda: len(upstream.calls_of(SLOW)) == before + 1)
    again = other.test_client().post(URL, json=body, headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    ends = [parse([data])[-1][2] if stream else json.loads(data) for data in (again.data, *_joined(first, answers))]
    assert ends[0] == ends[1]
    assert ends[0]["output"] == "word " * 20
    assert len(upstream.calls_of(SLOW)) == before + 1


def _joined(thread: threading.Thread, answers: list[Any]) -> list[Any]:
    thread.join(10)
    return answers


def test_a_failed_request_runs_again(upstream_app: Flask, upstream: Upstream) -> None:
    client = upstream_app.test_client()
    before = len(upstream.calls_of("fault-401"))
    for _ in range(2):
        assert keyed(client, "k", model="fault-401").get_json()["error"] == "upstream-auth"
    assert len(upstream.calls_of("fault-401")) == before + 2
    assert keyed(client, "v", parameters={"tone": "loud"}).status_code == 422
    assert keyed(client, "v").status_code == 200, "what was refused has used no key"


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "a b", "'; DROP TABLE generations;--", '"'])
def test_keys_that_are_none(client: FlaskClient, key: str) -> None:
    refused = keyed(client, key)
    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid-idempotency-key")


def test_many_at_once_with_one_key_make_one_call(app: Flask, upstream: Upstream) -> None:
    before = len(upstream.calls_of("slow-1"))
    answers: list[Any] = []

    def call() -> None:
        answers.append(keyed(app.test_client(), "k", model="slow-1", input="Once"))

    callers = [threading.Thread(target=call) for _ in range(30)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert [answer.status_code for answer in answers] == [200] * 30
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 29
    assert len(upstream.calls_of("slow-1")) == before + 1
    assert len(app.test_client().get("/api/v1/history").get_json()["items"]) == 1


def test_who_joined_gets_the_error_of_the_first(client: FlaskClient) -> None:
    both = [client.post(URL, json=asked(model="tokens-100-5"), headers={"Idempotency-Key": "k"}) for _ in "ab"]
    chunks = [iter(response.response) for response in both]
    first, second = (parse([next(each)])[0][2]["request_id"] for each in chunks)
    assert first == second
    client.post(f"/api/v1/history/{first}/cancel")
    ends = [parse(list(each))[-1] for each in chunks]
    assert [(name, problem["error"]) for name, _, problem in ends] == [("error", "cancelled")] * 2


# -- what a stream does while nothing comes


VALID = KeyWatch(None, lambda watch: None)


class Scripted:
    """A subscription that plays a script; None is a poll that found nothing."""

    def __init__(self, *heard: Any) -> None:
        self.looks = iter(heard)

    def next(self, _wait_s: float) -> Any:
        event = next(self.looks)
        if isinstance(event, Exception):
            raise event
        return event

    def interrupt(self) -> None:
        """It never waits."""


def test_a_silent_stream_pings_within_ten_seconds() -> None:
    silence = [None] * round(10 / DISCONNECT_CHECK_S)
    heard = list(subscription_events(Scripted(*silence, Delta("a"), Cancelled("stopped")), lambda: False, VALID))  # type: ignore[arg-type]
    assert heard[0] is None
    assert heard[1] == Delta("a")
    assert isinstance(heard[2], Cancelled)


def test_who_is_gone_gets_nothing_more() -> None:
    assert list(subscription_events(Scripted(None, Delta("a")), lambda: True, VALID)) == []  # type: ignore[arg-type]


def test_a_bug_ends_a_stream_with_an_error_too() -> None:
    heard = list(subscription_events(Scripted(Delta("a"), ZeroDivisionError()), lambda: False, VALID))  # type: ignore[arg-type]
    assert [type(event) for event in heard] == [Delta, ServiceError]
