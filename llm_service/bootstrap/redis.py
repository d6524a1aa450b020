"""What this process shares with others through Redis, if `REDIS_URL` is set.

redis-py is imported only then: it takes a tenth of a second, and its memory.
"""

import platform
from hashlib import sha256
from typing import TYPE_CHECKING

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.observability.logs import LogReporter
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.bootstrap.housekeeping import DAY_S
from llm_service.bootstrap.settings import Settings
from llm_service.core.clock import Clock
from llm_service.core.wake_ups import WakeUps

if TYPE_CHECKING:
    from llm_service.adapters.redis.cache import RedisCache
    from llm_service.adapters.redis.client import RedisClient

MIB = 1024 * 1024


def open_redis(settings: Settings, clock: Clock, reporter: LogReporter) -> "RedisClient | None":
    """None: it is not configured. A server that is away is told once, and keeps nothing from starting."""
    if settings.redis_url is None:
        return None
    from llm_service.adapters.redis.client import RedisClient

    client = RedisClient(settings.redis_url.value, namespace_of(settings), clock, reporter)
    client.tick()
    return client


def make_cache(
    settings: Settings, epochs: SqlEpochs, redis: "RedisClient | None", wake_ups: WakeUps
) -> "MemoryCache | RedisCache":
    # The cache keeps no text longer than the history.
    ttl_s = min(settings.cache_ttl_s, settings.history_days * DAY_S)
    max_entries, max_bytes = settings.cache_max_entries, settings.cache_max_mb * MIB
    if redis is None:
        return MemoryCache(ttl_s=ttl_s, max_entries=max_entries, max_bytes=max_bytes, epochs=epochs)
    from llm_service.adapters.redis.cache import RedisCache

    local = MemoryCache(ttl_s=ttl_s, max_entries=max_entries, max_bytes=max_bytes)
    return RedisCache(
        redis, local, epochs, ttl_s=ttl_s, max_entries=max_entries, max_bytes=max_bytes, wake_ups=wake_ups
    )


def namespace_of(settings: Settings) -> str:
    """The same in all processes of a database, and different for two databases: services may share a Redis server."""
    if settings.database_url.is_postgres:
        place = f"postgresql {settings.database_url.digest}"
    else:
        place = f"sqlite {platform.node()} {settings.database_path.resolve()}"
    return sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
