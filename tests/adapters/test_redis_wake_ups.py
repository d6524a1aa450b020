"""Wake-ups through a real Redis: who hears what, and what a lost connection costs.

Whatever is heard here is heard at once or never: nothing looks from time to time.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_service.adapters.redis.client import RedisClient
from llm_service.adapters.redis.wake_ups import SILENT_S, RedisWakeUps
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.endings import Endings
from llm_service.core.generation.model import Delta, Status
from llm_service.core.wake_ups import ANY, Topic
from tests.support.clocks import until
from tests.support.fakes import RecordingReporter, ScriptedProvider
from tests.support.redis_server import RedisServer, running_redis
from tests.support.world import DONE, World

Heard = list[tuple[Topic, str]]


class Reporter(RecordingReporter):
    """What the operator hears of Redis, too."""

    def redis_away(self, reason: str) -> None: ...

    def redis_back(self) -> None: ...


class Process:
    """One process of a service: what it hears, and its client, whose probes the test makes."""

    def __init__(
        self, redis: RedisServer, namespace: str = "a", *, listens: bool = True, silent_s: float = SILENT_S
    ) -> None:
        self.reporter = Reporter()
        self.client = RedisClient(redis.url, namespace, SystemClock(), self.reporter)
        self.wake_ups = RedisWakeUps(self.client, make_spawn(), self.reporter, silent_s=silent_s)
        self.heard: Heard = []
        for topic in (Topic.CANCEL, Topic.KEYS):
            self.wake_ups.on(topic, self._hear(topic))
        if listens:
            self.wake_ups.start()
            assert self.wake_ups.wait_subscribed(60)
            until(lambda: len(self.heard) == 2)
            self.heard.clear()  # that it is to look at all

    def _hear(self, topic: Topic) -> Callable[[str], object]:
        return lambda about: self.heard.append((topic, about))

    def close(self) -> None:
        self.wake_ups.close()
        self.client.close()


@pytest.fixture(name="redis", scope="module")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="start")
def _start(redis: RedisServer) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(namespace: str = "a", *, listens: bool = True) -> Process:
        started.append(process := Process(redis, namespace, listens=listens))
        return process

    yield start
    for process in started:
        process.close()


def test_all_others_hear_it_and_only_those_of_the_same_service(start: Callable[..., Process]) -> None:
    sender, second, third, stranger = start(), start(), start(), start("another")
    for request_id in ("id-1", "id-2"):
        sender.wake_ups.send(Topic.CANCEL, request_id)
    sender.wake_ups.send(Topic.TEMPLATES)
    sender.wake_ups.send(Topic.KEYS)
    expected = [(Topic.CANCEL, "id-1"), (Topic.CANCEL, "id-2"), (Topic.KEYS, ANY)]
    until(lambda: second.heard == third.heard == expected)
    stranger.wake_ups.send(Topic.KEYS)
    second.wake_ups.send(Topic.CANCEL, "id-3")
    until(lambda: sender.heard)
    assert sender.heard == [(Topic.CANCEL, "id-3")], "neither its own nor those of another service"
    assert stranger.heard == []


def test_who_only_sends_needs_no_reader(start: Callable[..., Process]) -> None:
    """As commands do."""
    service, command = start(), start(listens=False)
    command.wake_ups.send(Topic.KEYS)
    command.close()
    until(lambda: service.heard == [(Topic.KEYS, ANY)])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"v":2,"sender":"x","topic":"cancel","about":"a"}',
        b'{"v":1,"sender":"x","topic":"of a later version"}',
        b'{"v":1,"sender":"x","topic":"cancel","about":7}',
        b'{"v":1,"topic":"cancel"}',
        b'{"v":1,"sender":"x","topic":"cancel","about":"' + b"a" * 301 + b'"}',
    ],
)
def test_garbage_is_ignored(garbage: bytes, start: Callable[..., Process]) -> None:
    process = start()
    for message in (garbage, b'{"v":1,"sender":"x","topic":"cancel","about":"id-1","new in 1":true}'):
        process.client.run(lambda client, data=message: client.publish(process.client.key("wake-ups"), data))  # type: ignore[misc]
    until(lambda: process.heard)
    assert (process.heard, process.reporter.bugs) == ([(Topic.CANCEL, "id-1")], [])


def test_a_handler_that_fails_is_reported_and_the_next_one_is_called(start: Callable[..., Process]) -> None:
    process = start(listens=False)
    process.wake_ups.on(Topic.CACHE, lambda about: [][0])
    process.wake_ups.on(Topic.CACHE, lambda about: process.heard.append((Topic.CACHE, about)))
    process.wake_ups.start()
    until(lambda: (Topic.CACHE, ANY) in process.heard)
    assert [type(error) for error in process.reporter.bugs] == [IndexError]


def test_nothing_is_heard_after_the_end(start: Callable[..., Process]) -> None:
    process, other = start(), start()
    process.wake_ups.close()
    other.wake_ups.send(Topic.KEYS)
    other.wake_ups.close()
    channel = other.client.key("wake-ups")
    until(lambda: other.client.run(lambda client: client.pubsub_numsub(channel)) == [(channel.encode(), 0)])
    assert process.heard == []
    assert process.reporter.bugs == other.reporter.bugs == []


def test_without_redis_sending_costs_nothing_and_tells_nobody(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)  # it never runs
    process = Process(server, listens=False)
    process.wake_ups.start()
    for _ in range(1000):
        process.wake_ups.send(Topic.CANCEL, "id-1")
    process.close()
    assert (process.heard, process.reporter.bugs) == ([], [])


@pytest.mark.slow
def test_after_a_restart_it_is_subscribed_again_and_all_is_looked_at(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    listener, sender = Process(server), Process(server, listens=False)
    try:
        server.kill()
        until(lambda: not listener.wake_ups.wait_subscribed(0))
        server.start()
        until(lambda: len(listener.heard) == 2)
        assert listener.heard == [(Topic.CANCEL, ANY), (Topic.KEYS, ANY)]
        sender.client.tick()
        sender.wake_ups.send(Topic.CANCEL, "id-1")
        until(lambda: listener.heard[2:] == [(Topic.CANCEL, "id-1")])
        assert listener.reporter.bugs == []
    finally:
        listener.close()
        sender.close()
        server.close()


@pytest.mark.slow
def test_who_could_not_send_says_so_when_it_can(tmp_path: Path) -> None:
    """The others were connected all the time, so they have no other reason to look at all."""
    server = RedisServer(tmp_path).start()
    listener, sender = Process(server), Process(server, listens=False)
    try:
        server.freeze()
        for request_id in ("id-1", "id-2"):
            sender.wake_ups.send(Topic.CANCEL, request_id)
        assert not sender.client.available
        server.thaw()

        def is_back() -> bool:
            sender.client.tick()
            return sender.client.available

        until(is_back)
        until(lambda: (Topic.CANCEL, ANY) in listener.heard)
        assert (Topic.KEYS, ANY) not in listener.heard, "nothing was sent about these"
    finally:
        listener.close()
        sender.close()
        server.close()


@pytest.mark.slow
def test_a_silent_connection_is_given_up(tmp_path: Path) -> None:
    """As one of whose end no packet tells. The listener has to ask."""
    server = RedisServer(tmp_path).start()
    listener = Process(server, silent_s=0.2)
    try:
        server.freeze()
        until(lambda: not listener.wake_ups.wait_subscribed(0))
        server.thaw()
        until(lambda: len(listener.heard) == 2)
    finally:
        listener.close()
        server.close()


def test_no_thread_is_left(start: Callable[..., Process]) -> None:
    process = start()
    running = threading.active_count()
    process.close()
    until(lambda: threading.active_count() < running)


def test_one_who_waits_elsewhere_hears_of_the_end(start: Callable[..., Process]) -> None:
    """The pause alone would take a day."""
    running, waiting = start(listens=False), start(listens=False)
    goes_on = threading.Event()
    world = World(ScriptedProvider(Delta("a"), goes_on, DONE), wake_ups=running.wake_ups)
    endings = Endings(waiting.wake_ups, SystemClock())
    for process in (running, waiting):
        process.wake_ups.start()
        assert process.wake_ups.wait_subscribed(60)
    subscription = world.begin()
    assert subscription.next(60) == Delta("a")
    ending = endings.of("id-1")
    goes_on.set()
    while world.store.rows["id-1"].status is Status.RUNNING:
        ending.pause(24 * 3600)
    ending.close()
    until(lambda: not len(world.registry))


def refusals(admin: Any) -> int:
    return int(admin.info("errorstats").get("errorstat_NOPERM", {"count": 0})["count"])


@pytest.mark.slow
def test_one_that_may_not_listen_is_reported_once_and_tries_again(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetchannels")
        listener = Process(server, listens=False)
        try:
            listener.wake_ups.start()
            until(lambda: refusals(admin) >= 2)
            assert len(listener.reporter.bugs) == 1
            assert "channel" in str(listener.reporter.bugs[0])
            admin.execute_command("ACL", "SETUSER", "default", "&*")
            for callback in listener.client.on_back:
                callback()  # instead of a pause of seconds
            until(lambda: len(listener.heard) == 2)
        finally:
            listener.close()
            server.close()


@pytest.mark.slow
def test_sending_never_raises_not_even_while_the_connections_are_closed(redis: RedisServer) -> None:
    raised: list[BaseException] = []
    for _ in range(50):
        process = Process(redis, listens=False)
        begun = threading.Event()

        def send(process: Process = process, begun: threading.Event = begun) -> None:
            try:
                for _ in range(100):
                    process.wake_ups.send(Topic.CANCEL, "id-1")
                    begun.set()
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait(60)
        process.close()
        for thread in threads:
            thread.join(60)
        assert process.reporter.bugs == []
    assert raised == []
