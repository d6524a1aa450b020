"""Wake-ups for a process of the service, and for commands that only send them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.bootstrap.redis import open_redis
from llm_service.bootstrap.settings import Settings
from llm_service.core.generation.ports import Spawn
from llm_service.core.wake_ups import NoWakeUps, WakeUps

if TYPE_CHECKING:
    from llm_service.adapters.redis.client import RedisClient
    from llm_service.adapters.redis.wake_ups import RedisWakeUps


def make_wake_ups(redis: "RedisClient | None", spawn: Spawn, reporter: LogReporter) -> "RedisWakeUps | NoWakeUps":
    """The caller calls `start` once all handlers are known, and closes it before Redis."""
    if redis is None:
        return NoWakeUps()
    from llm_service.adapters.redis.wake_ups import RedisWakeUps

    return RedisWakeUps(redis, spawn, reporter)


@contextmanager
def open_sender(settings: Settings) -> Iterator[WakeUps]:
    """For a command. It hears nothing."""
    reporter = LogReporter()
    redis = open_redis(settings, SystemClock(), reporter)
    try:
        yield make_wake_ups(redis, make_spawn(), reporter)
    finally:
        if redis is not None:
            redis.close()
