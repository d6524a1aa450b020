"""Redis behind one circuit breaker: a request that cannot have it goes on without it, at once."""

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Protocol, TypeVar

import redis
from redis import exceptions

from llm_service.core.clock import Clock

from .connections import COMMAND_S, SLOW_S, Pace, blocking_client, bounded_client, make_slots
from .url import parse_redis_url

T = TypeVar("T")
Value = str | bytes | int | float
Script = Callable[[Sequence[str], Sequence[Value]], Any]
PREFIX = "llms"
# While it is away: the pauses between two probes grow, so that a server that comes back is not flooded.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
# While nobody uses it: so that `health_error` is true without requests, too.
LOOK_S = 2.0
SLOW_IN_A_ROW = 2
# Errors of a command are logged at most this often.
REPORT_S = 60.0
# Answers of a server that serves nobody now, or not the one who asks: all others would get them too.
_USELESS = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.InvalidResponse,
    OSError,
)
# redis-py quotes a pipeline's command in its errors, and so what callers wrote.
_IN_PIPELINE = re.compile(r"^Command # .* of pipeline caused error: ", re.DOTALL)
_WRITE_REFUSALS = ("OOM", "MISCONF", "NOREPLICAS")


class RedisAway(Exception):
    """Redis cannot be used for this now. While the breaker is open, it is raised at once, without I/O."""


class RedisReporter(Protocol):
    """Receives what the operator should know. Each change is told once."""

    def redis_away(self, reason: str) -> None: ...

    def redis_back(self) -> None: ...

    def unexpected_error(self, error: Exception, request_id: str | None = None) -> None: ...


class RedisClient:
    """One per process, safe for greenlets and threads. It connects when it is first used, never before.

    The breaker opens with the first timeout, lost connection or refusal to serve, and with slow answers in a row. `tick`
    probes and closes it; no request does. A refusal of one command (`OOM` of a full server, a wrong type) fails that command
    only.
    """

    def __init__(self, url: str, namespace: str, clock: Clock, reporter: RedisReporter) -> None:
        """`namespace`: services with different ones can share a server. Raises `ValueError` for a URL that is not valid."""
        self._address = parse_redis_url(url)
        self._prefix = f"{PREFIX}:{namespace}:"
        self._clock, self._reporter = clock, reporter
        self._client = bounded_client(self._address, Pace(self._slow, self._quick))
        self._blocking: list[redis.Redis] = []
        self._slots = make_slots()
        self._lock = threading.Lock()
        # None = closed. Read without the lock: a command that comes too late fails by itself.
        self._away: str | None = None
        self._was_away = 0
        self._pause_s, self._probe_at, self._used_at = FIRST_PAUSE_S, 0.0, float("-inf")
        self._slow_in_a_row, self._slow_at = 0, 0.0
        self._refusal: str | None = None
        self._told_refusal = False
        self._reported_at = -REPORT_S
        self._closed = False
        # Called by `tick` when Redis is back. What Redis kept may be lost. Their errors are reported.
        self.on_back: list[Callable[[], object]] = []

    def key(self, tag: str, *parts: str) -> str:
        """All keys of a tag are in one slot of a cluster."""
        return ":".join((f"{self._prefix}{{{tag}}}", *parts))

    def run(self, command: Callable[[redis.Redis], T]) -> T:
        """Run one command, pipeline or script. Raises `RedisAway`, and nothing else of Redis.

        Answers are bytes. A command that times out may have been carried out all the same.
        """
        if self._away is not None:
            raise RedisAway(self._away)
        began, was_away = self._clock.monotonic(), self._was_away
        # Without a timeout: each that has a slot gives it back in time, and then those who wait see that Redis is away.
        with self._slots:
            if self._away is not None:
                raise RedisAway(self._away)
            if self._slow_in_a_row and self._clock.monotonic() - began > COMMAND_S:
                raise RedisAway("too many commands wait for it")
            return self._run(command, was_away)

    def script(self, source: str, read: Callable[[Any], Any] = lambda answer: answer) -> Script:
        """A Lua script, to be called with its keys and arguments. It is sent once; then its digest is enough.

        `read`: the value of an answer. Whatever it raises means that this is no Redis.
        """
        digest = sha1(source.encode(), usedforsecurity=False).hexdigest()

        def call(keys: Sequence[str], arguments: Sequence[Value] = ()) -> Any:
            def command(client: redis.Redis) -> Any:
                try:
                    return read(client.evalsha(digest, len(keys), *keys, *arguments))
                except exceptions.NoScriptError:
                    return read(client.eval(source, len(keys), *keys, *arguments))

            return self.run(command)

        return call

    def blocking(self) -> redis.Redis:
        """A client of its own for a background reader, without the breaker. A read may wait five seconds for Redis.

        It raises redis-py's errors. `close` closes it.
        """
        client = blocking_client(self._address)
        with self._lock:
            self._blocking.append(client)
        return client

    @property
    def available(self) -> bool:
        return self._away is None

    def health_error(self) -> str | None:
        """Why Redis cannot be used, or what it refuses; None = no known error."""
        return self._away or self._refusal

    def tick(self) -> None:
        """Probe, if it is time. Call it about twice a second, and once before the first request. It never raises."""
        now = self._clock.monotonic()
        due = self._probe_at if self._away is not None else self._used_at + LOOK_S
        if self._closed or (now < due and (self._away is not None or self._refusal is None)):
            return
        was_away = self._was_away
        try:
            self._probe()
        except _USELESS as error:
            self._lost(was_away, error)
            self._put_off()
        except exceptions.RedisError as error:
            self._refuse(error)
            self._back()
        except Exception as error:
            self._lost(was_away, _not_redis(error))
            self._put_off()
        else:
            self._takes_writes()
            self._back()

    def close(self) -> None:
        """Commands fail from now on, also those of background readers."""
        self._closed = True
        self._away = self._away or "this process is ending"
        for client in (*self._blocking, self._client):
            client.close()

    def _run(self, command: Callable[[redis.Redis], T], was_away: int) -> T:
        try:
            value = command(self._client)
        except _USELESS as error:
            self._lost(was_away, error)
            raise RedisAway(self._reason(error)) from error
        except exceptions.RedisError as error:
            error.args = (_IN_PIPELINE.sub("", str(error)),)
            self._refuse(error)
            raise RedisAway(self._reason(error)) from error
        except UnicodeEncodeError as error:
            raise RedisAway("half a surrogate pair cannot be sent to it") from error
        except Exception as error:
            # redis-py trips over answers that no Redis gives, each time in another way.
            self._lost(was_away, _not_redis(error))
            raise RedisAway(self._reason(error)) from error
        self._used_at = self._clock.monotonic()
        return value

    def _probe(self) -> None:
        """A write: a server that only reads is of no use."""
        began = self._clock.monotonic()
        asked = secrets.token_bytes(8)
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(self.key("probe"), 1, px=1000)
            pipeline.echo(asked)
            _, answered = pipeline.execute()
        if answered != asked:
            raise exceptions.InvalidResponse("it does not answer what it is asked")
        if self._slow_at > began:
            raise exceptions.TimeoutError(f"answers take longer than {SLOW_S * 1000:.0f} ms")
        self._used_at = self._clock.monotonic()

    def _lost(self, was_away: int, error: Exception) -> None:
        """`was_away`: as it was when the command began. One that began before Redis was away says nothing about it now."""
        with self._lock:
            if self._away is not None or was_away != self._was_away:
                return
            self._away = self._reason(error)
            self._was_away += 1
            self._pause_s = FIRST_PAUSE_S
            self._probe_at = self._clock.monotonic() + FIRST_PAUSE_S
        # The server may have moved, or begun to refuse these connections.
        self._client.connection_pool.disconnect(inuse_connections=False)
        self._reporter.redis_away(self._away)

    def _put_off(self) -> None:
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._probe_at = self._clock.monotonic() + self._pause_s

    def _back(self) -> None:
        with self._lock:
            if self._away is None or self._closed:
                return
            self._away = None
            self._slow_in_a_row = 0
        self._reporter.redis_back()
        for callback in self.on_back:
            try:
                callback()
            except Exception as error:
                self._reporter.unexpected_error(error)

    def _refuse(self, error: exceptions.RedisError) -> None:
        """A command was refused: because the server is full, or for a reason that should not happen."""
        self._used_at = now = self._clock.monotonic()
        refuses_writes = isinstance(error, exceptions.OutOfMemoryError) or str(error).startswith(_WRITE_REFUSALS)
        is_told = refuses_writes and self._refusal is not None
        if refuses_writes:
            self._refusal = f"{self._reason(error)} It refuses to write."
        if is_told or now - self._reported_at < REPORT_S:
            return
        self._reported_at = now
        if refuses_writes:
            self._told_refusal = True
            self._reporter.redis_away(self._refusal or "")
        else:
            self._reporter.unexpected_error(error)

    def _takes_writes(self) -> None:
        self._refusal = None
        if self._told_refusal:
            self._told_refusal = False
            if self._away is None:
                self._reporter.redis_back()

    def _slow(self) -> None:
        """Many commands at once that wait for the same answer count once."""
        now = self._clock.monotonic()
        if now - self._slow_at < SLOW_S:
            return
        self._slow_at = now
        self._slow_in_a_row += 1
        if self._slow_in_a_row >= SLOW_IN_A_ROW:
            self._lost(
                self._was_away, exceptions.TimeoutError(f"several answers took longer than {SLOW_S * 1000:.0f} ms")
            )

    def _quick(self) -> None:
        self._slow_in_a_row = 0

    def _reason(self, error: Exception) -> str:
        """In words; it never holds a user or a password."""
        text = str(error)
        for secret in (self._address.password, self._address.username):
            if secret and len(secret) > 3:
                text = text.replace(secret, "***")
        return f"Redis at {self._address}: {text[:200] or type(error).__name__}"


def _not_redis(error: Exception) -> exceptions.InvalidResponse:
    return exceptions.InvalidResponse(f"it does not answer as Redis does ({type(error).__name__})")
