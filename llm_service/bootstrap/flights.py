"""Shared calls and growing texts: of this process alone, or of all processes that share a Redis."""

import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.runtime.background import Ticker
from llm_service.core.clock import Clock
from llm_service.core.generation.ports import RemoteTexts, SingleFlight, Spawn
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.wake_ups import Topic, WakeUps

if TYPE_CHECKING:
    from llm_service.adapters.redis.client import RedisClient
    from llm_service.adapters.redis.remote_texts import RedisRemoteTexts
    from llm_service.adapters.redis.single_flight import RedisSingleFlight
    from llm_service.adapters.redis.streams import StreamReader

# A lease lasts three times as long.
RENEW_S = 1.0
# A text is passed on for ten seconds after each time that somebody asks for it.
ASK_S = 3.0


class LocalFlights:
    """`texts` None: no process passes texts on."""

    def __init__(self) -> None:
        self.calls: SingleFlight = MemorySingleFlight()
        self.texts: RemoteTexts | None = None

    def start(self, ticker: Ticker, wake_ups: WakeUps) -> None:
        """Nothing is renewed."""

    def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class SharedFlights:
    """After `start`, the leases of this process are renewed until the ticker is closed."""

    calls: "RedisSingleFlight"
    texts: "RedisRemoteTexts"
    reader: "StreamReader"
    registry: InFlightRegistry

    def start(self, ticker: Ticker, wake_ups: WakeUps) -> None:
        ticker.every(RENEW_S, self.calls.tick)
        ticker.every(ASK_S, self.texts.tick)
        wake_ups.on(Topic.CALL_TEXT, self.calls.text_wanted)
        wake_ups.on(Topic.TEXT, lambda request_id: self.texts.wanted(request_id, self.registry.find(request_id)))

    def close(self) -> None:
        self.reader.close()


def make_flights(
    redis: "RedisClient | None", wake_ups: WakeUps, registry: InFlightRegistry, clock: Clock, spawn: Spawn
) -> LocalFlights | SharedFlights:
    """The caller closes it before Redis."""
    if redis is None:
        return LocalFlights()
    from llm_service.adapters.redis.flight_scripts import FlightScripts
    from llm_service.adapters.redis.relay import TextRelay
    from llm_service.adapters.redis.remote_texts import RedisRemoteTexts
    from llm_service.adapters.redis.single_flight import RedisSingleFlight
    from llm_service.adapters.redis.streams import StreamReader

    reader, relay = StreamReader(redis, spawn), TextRelay(redis, clock, spawn)
    scripts = FlightScripts(redis, secrets.token_hex(8))
    calls = RedisSingleFlight(scripts, reader, relay, partial(wake_ups.send, Topic.CALL_TEXT))
    texts = RedisRemoteTexts(redis, reader, relay, partial(wake_ups.send, Topic.TEXT))
    return SharedFlights(calls, texts, reader, registry)
