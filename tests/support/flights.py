"""Single flights of several "processes" in one test: each with its own connections to a real Redis."""

import secrets
from collections.abc import Callable
from functools import partial

import redis

from llm_service.adapters.redis.client import RedisClient
from llm_service.adapters.redis.flight_scripts import FlightScripts
from llm_service.adapters.redis.relay import TextRelay
from llm_service.adapters.redis.remote_texts import RedisRemoteTexts
from llm_service.adapters.redis.single_flight import RedisSingleFlight
from llm_service.adapters.redis.streams import StreamReader
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.wake_ups import Topic
from tests.support.redis_server import RedisServer
from tests.support.wake_ups import Wire


class Quiet:
    """Satisfies `RedisReporter`; `errors`: what should not happen."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def redis_away(self, reason: str) -> None: ...

    def redis_back(self) -> None: ...

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None:
        self.errors.append(error)


class Process:
    """What a process of the service has for shared calls. `trips` counts its commands, scripts and pipelines."""

    def __init__(self, server: RedisServer, namespace: str, wire: Wire) -> None:
        self.trips = 0
        clock, spawn, self.reporter = SystemClock(), make_spawn(), Quiet()
        self.client = RedisClient(server.url, namespace, clock, self.reporter)
        self.wake_ups = wire.process()
        self.reader, self.relay = StreamReader(self.client, spawn), TextRelay(self.client, clock, spawn)
        self.scripts = FlightScripts(self.client, secrets.token_hex(8))
        self.flight = RedisSingleFlight(
            self.scripts, self.reader, self.relay, partial(self.wake_ups.send, Topic.CALL_TEXT)
        )
        self.texts = RedisRemoteTexts(self.client, self.reader, self.relay, partial(self.wake_ups.send, Topic.TEXT))
        self.wake_ups.on(Topic.CALL_TEXT, self.flight.text_wanted)

    def close(self) -> None:
        self.reader.close()
        self.client.close()


class Machines:
    """Makes processes that share a Redis, and nothing else."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._namespace = secrets.token_hex(4)
        self._wire = Wire()
        self._processes: list[Process] = []

    def process(self) -> Process:
        self._processes.append(process := Process(self.server, self._namespace, self._wire))
        return process

    def trips(self, work: Callable[[], object]) -> list[str]:
        """The names of the commands that Redis gets while it works, those inside of scripts left out."""
        with self.server.client() as observer:
            began = _calls(observer)
            work()
            ended = _calls(observer)
        return sorted(name for name, count in ended.items() for _ in range(count - began.get(name, 0)))

    def close(self) -> None:
        for process in self._processes:
            process.close()


def _calls(observer: "redis.Redis") -> dict[str, int]:
    stats = observer.info("commandstats")
    asked = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_xread", "cmdstat_script|load"}
    return {name: stats[name]["calls"] for name in stats if name in asked}
