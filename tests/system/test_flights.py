"""One upstream call for equal requests, over several processes with a real Redis, whatever dies meanwhile.

Longer than other modules: all share two servers, which take long to start.
"""

import json
import os
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import BODY, get, provider
from tests.support.clocks import until
from tests.support.processes import Server, free_port, serving, wait_until_ready
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream

# Its end waits for `may_end`.
MODEL = "echo-40"
WAIT_S = 60
pytestmark = pytest.mark.slow


class Service:
    """Two servers on one database and one Redis: `first` with one worker, `second` with two."""

    def __init__(self, first: Server, second: Server, redis: RedisServer, upstream: Upstream, database: Path) -> None:
        self.first, self.second = first, second
        self.redis = redis
        self._upstream = upstream
        self._database = database
        self._away = 0

    def settle(self) -> None:
        """Wait until all processes have Redis."""
        until(lambda: self._times("away") == self._times("back"))
        self._away = self._times("away")

    def shares(self, text: str, calls: int = 1) -> bool:
        """Whether there were so many calls at most; one more for each process that was without Redis for a moment, as on
        a machine with too much to do."""
        return calls <= self.calls(text) <= calls + self._times("away") - self._away

    def _times(self, state: str) -> int:
        return self.first.log.read_text().count(f'"state": "{state}"')

    def calls(self, text: str) -> int:
        return sum(text in json.dumps(call["body"]) for call in self._upstream.calls_of(MODEL))

    def rows(self, text: str) -> list[tuple[str, int, str | None]]:
        """Their status, attempts and output, oldest first."""
        query = """SELECT status, attempts, output FROM generations JOIN answers USING (answer_id)
                   WHERE input = ? ORDER BY position"""
        with sqlite3.connect(self._database, timeout=30) as connection:
            found = connection.execute(query, (text,)).fetchall()
        connection.close()
        return found

    def kill_workers(self, server: Server, how: signal.Signals = signal.SIGKILL) -> None:
        """gunicorn starts others."""
        for pid in server.workers():
            os.kill(pid, how)


class Caller:
    """A request in a thread of its own. `status` 0: the connection was cut."""

    def __init__(self, server: Server, text: str, *, streamed: bool = False, **headers: str) -> None:
        self.text = ""
        self.request_id = ""
        self.status = 0
        self.body: dict[str, Any] = {}
        self.error: str | None = None
        self._response: Any = None
        data = json.dumps({**BODY, "input": text, "model": MODEL, "stream": streamed}).encode()
        headers = {
            "Content-Type": "application/json",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        self._request = urllib.request.Request(f"{server.base_url}/api/v1/generate", data, headers)
        self._streamed = streamed
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        until(lambda: self._response is not None)
        self._response.fp.raw._sock.shutdown(2)
        self._thread.join(WAIT_S)

    def end(self) -> "Caller":
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "not answered"
        return self

    @property
    def answer(self) -> str | None:
        """Its whole text; None if it has none, or not a whole one."""
        self.end()
        return self.body.get("output") if self.status == 200 and self.error is None else None

    def _ask(self) -> None:
        with suppress(OSError):  # its server was killed
            try:
                with urllib.request.urlopen(self._request, timeout=WAIT_S) as self._response:
                    if self._streamed:
                        self._read(self._response)
                    else:
                        self.body = json.load(self._response)
                        self.status = self._response.status
            except urllib.error.HTTPError as error:
                self.status, self.body = error.code, json.load(error)

    def _read(self, response: Any) -> None:
        name = ""
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                data = json.loads(line[6:])
                if name == "delta":
                    self.text += data["text"]
                elif name == "start":
                    self.request_id = data["request_id"]
                else:
                    self.status, self.body, self.error = 200, data, data.get("error")


@pytest.fixture(name="servers", scope="module")
def _servers(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("flights")
    redis = RedisServer(folder)
    try:
        redis.start()
        environ = provider(upstream, MODEL, APP_GRACE_S="3", APP_ABANDON_GRACE_S="0", REDIS_URL=redis.url)
        second_port = {"PORT": str(free_port()), "WEB_CONCURRENCY": "2"}
        with serving(folder, **environ) as first, serving(folder, **{**environ, **second_port}) as second:
            yield Service(first, second, redis, upstream, folder / "service.db")
    finally:
        redis.close()


@pytest.fixture(name="service")
def _service(servers: Service) -> Service:
    servers.settle()
    return servers


@pytest.fixture(name="hold")
def _hold(upstream: Upstream) -> Iterator[Callable[[], None]]:
    """No answer ends before this is called, or the test."""
    upstream.may_end.clear()
    yield upstream.may_end.set
    upstream.may_end.set()


def sentence(name: str) -> str:
    return f"{name} " + " ".join(f"w{number}" for number in range(12))


def begun(service: Service, text: str, server: Server, count: int = 1, *, streamed: bool = False) -> list[Caller]:
    """Callers whose rows are stored."""
    before = len(service.rows(text))
    callers = [Caller(server, text, streamed=streamed and number % 2 == 0) for number in range(count)]
    until(lambda: len(service.rows(text)) == before + count)
    return callers


def led_by_first(service: Service, text: str) -> tuple[Caller, list[Caller]]:
    """A streamed call that `first` leads, and followers in `second` that are shown its text as far as it can come."""
    (leader,) = begun(service, text, service.first, streamed=True)
    followers = begun(service, text, service.second, 6, streamed=True)
    for caller in (leader, *followers[::2]):
        until(lambda caller=caller: "w11" in caller.text)  # type: ignore[misc]
    assert service.shares(text)
    return leader, followers


def test_all_equal_requests_share_one_call(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("all")
    callers = begun(service, text, service.first, 30, streamed=True)
    callers += begun(service, text, service.second, 70, streamed=True)
    hold()
    answers = {caller.answer for caller in callers}
    assert len(answers) == 1
    assert answers.pop().endswith("w11")  # type: ignore[union-attr]
    assert {caller.text for caller in callers[::2]} == {callers[1].body["output"]}
    assert service.shares(text)
    rows = service.rows(text)
    assert [len(rows), {status for status, *_ in rows}] == [100, {"completed"}]
    assert sum(attempts for _, attempts, _ in rows) == service.calls(text)


def test_when_the_leader_is_killed_another_makes_the_call_and_all_are_answered(
    service: Service, hold: Callable[[], None]
) -> None:
    text = sentence("killed")
    leader, followers = led_by_first(service, text)
    service.kill_workers(service.first)
    until(lambda: service.calls(text) == 2)
    hold()
    assert len({caller.answer for caller in followers}) == 1
    assert followers[0].answer == followers[0].text, "it goes on where it was"
    assert leader.end().status == 0
    assert service.shares(text, 2)
    wait_until_ready(service.first)
    until(lambda: {status for status, *_ in service.rows(text)} == {"interrupted", "completed"})
    assert sum(attempts for _, attempts, _ in service.rows(text)) == service.calls(text)
    assert {(status, output) for status, _, output in service.rows(text)} == {
        ("interrupted", None),
        ("completed", followers[0].text),
    }


def test_when_followers_are_killed_the_leader_goes_on(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("followers")
    leader, _ = led_by_first(service, text)
    service.kill_workers(service.second)
    wait_until_ready(service.second)
    hold()
    assert leader.answer == leader.text
    assert service.shares(text)


def test_a_leader_that_is_cancelled_leaves_the_call_to_the_others(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("cancelled")
    leader, followers = led_by_first(service, text)
    cancel = urllib.request.Request(
        f"{service.second.base_url}/api/v1/history/{leader.request_id}/cancel", b"", method="POST"
    )
    with urllib.request.urlopen(cancel, timeout=WAIT_S) as response:
        assert json.load(response)["status"] == "cancelled"
    assert leader.end().error is not None
    hold()
    assert len({caller.answer for caller in followers}) == 1
    assert service.shares(text)


def test_when_callers_leave_the_call_goes_on_for_the_others(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("gone")
    leader, followers = led_by_first(service, text)
    leader.leave()
    for caller in followers[::2]:
        caller.leave()
    plain = followers[1::2]
    until(lambda: [status for status, *_ in service.rows(text)].count("cancelled") == 4)
    hold()
    assert len({caller.answer for caller in plain}) == 1
    assert service.shares(text)


def test_the_call_ends_when_nobody_is_left_anywhere(
    service: Service, hold: Callable[[], None], upstream: Upstream
) -> None:
    text = sentence("nobody")
    (leader,) = begun(service, text, service.first, streamed=True)
    (follower,) = begun(service, text, service.second, streamed=True)
    until(lambda: "w11" in follower.text)
    before = upstream.open_connections
    leader.leave()
    follower.leave()
    until(lambda: upstream.open_connections < before)
    assert service.shares(text)


def test_when_the_leaders_process_stops_another_takes_over(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("stopped")
    _, followers = led_by_first(service, text)
    service.kill_workers(service.first, signal.SIGTERM)
    until(lambda: service.calls(text) == 2)
    hold()
    assert len({caller.answer for caller in followers}) == 1
    assert followers[0].answer == followers[0].text
    wait_until_ready(service.first)


def test_a_generation_of_another_process_is_resumed_while_its_text_grows(
    service: Service, hold: Callable[[], None]
) -> None:
    text = sentence("resumed")
    (leader,) = begun(service, text, service.first, streamed=True)
    until(lambda: "w3" in leader.text)
    events = urllib.request.Request(f"{service.second.base_url}/api/v1/history/{leader.request_id}/events")
    resumed = Resumed(events)
    until(lambda: "w11" in resumed.text)
    assert resumed.text == leader.text
    later = Resumed(events, after=5)
    until(lambda: later.text == leader.text[5:])
    hold()
    assert resumed.end() == later.end() == leader.answer
    assert (resumed.text, later.text) == (leader.text, leader.text[5:]), "nothing twice"


def test_a_repeated_key_is_answered_by_the_call_of_another_process(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("keyed")
    first = Caller(service.first, text, streamed=True, Idempotency_Key="flights-1")
    until(lambda: "w3" in first.text)
    again = Caller(service.second, text, streamed=True, Idempotency_Key="flights-1")
    until(lambda: "w11" in again.text)
    hold()
    assert first.answer == again.answer == again.text
    assert len(service.rows(text)) == service.calls(text) == 1


def test_after_a_flush_there_is_one_more_call_at_most(service: Service, hold: Callable[[], None]) -> None:
    text = sentence("flushed")
    leader, followers = led_by_first(service, text)
    with service.redis.client() as client:
        client.flushall()
    late = begun(service, text, service.second, 4, streamed=True)
    time.sleep(1.5)  # the leases are renewed
    hold()
    assert len({caller.answer for caller in (leader, *followers, *late)}) == 1
    assert service.shares(text) or service.shares(text, 2)
    assert {status for status, *_ in service.rows(text)} == {"completed"}
    assert len(service.rows(text)) == 11


@contextmanager
def away(service: Service, how: str) -> Iterator[None]:
    try:
        getattr(service.redis, how)()
        yield
    finally:
        if how == "kill":
            service.redis.start()
        else:
            service.redis.thaw()


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_when_redis_goes_away_all_are_answered(service: Service, hold: Callable[[], None], how: str) -> None:
    text = sentence(how)
    leader, followers = led_by_first(service, text)
    with away(service, how):
        until(lambda: service.calls(text) > 1)
        late = begun(service, text, service.first, 2, streamed=True)
        hold()
        answers = {caller.answer for caller in (leader, *followers, *late)}
        assert len(answers) == 1
        assert service.calls(text) <= 1 + 2, "one more for each process that followed"
    assert get(service.first, "ready")


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_when_a_call_is_made_twice_each_row_has_the_answer_that_its_caller_got(
    service: Service, hold: Callable[[], None], upstream: Upstream, how: str
) -> None:
    """Models rarely give the same answer twice."""
    text = sentence(f"twice {how}")
    upstream.counts = True
    try:
        callers = begun(service, text, service.first, 2) + begun(service, text, service.second, 6)
        assert service.shares(text)
        with away(service, how):
            until(lambda: service.calls(text) > 1)
            time.sleep(1.0)  # the other process finds out as well
            hold()
            answers = {caller.body["request_id"]: caller.answer for caller in callers if caller.answer}
    finally:
        upstream.counts = False
    assert len(answers) == 8
    assert len(set(answers.values())) > 1
    rows = {request_id: get(service.second, f"history/{request_id}")["output"] for request_id in answers}
    assert rows == answers
    later = Caller(service.first, text).end().body
    assert get(service.second, f"history/{later['request_id']}")["output"] == later["output"]


class Resumed:
    """A stream of a generation that runs elsewhere."""

    def __init__(self, request: urllib.request.Request, after: int | None = None) -> None:
        self.text = ""
        self._end: dict[str, Any] = {}
        self._request = urllib.request.Request(request.full_url)
        if after is not None:
            self._request.add_header("Last-Event-ID", str(after))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def end(self) -> Any:
        """The whole output."""
        self._thread.join(WAIT_S)
        return self._end.get("output")

    def _read(self) -> None:
        name = ""
        with urllib.request.urlopen(self._request, timeout=WAIT_S) as response:
            for line in response:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    data = json.loads(line[6:])
                    if name == "delta":
                        self.text += data["text"]
                    else:
                        self._end = data
