"""The steps of a shared flight, each one Lua script and one round trip. All times are of Redis' clock.

    <key>                 the request_id that began the call in progress, for requests that arrive
    <key>:call:<id>       its state: `fp`, `leader` (a process, or empty), `turn` (how often another one took over), `until`
                          (the lease), `wants` (until when somebody elsewhere wants the text), `m:<process>` (until when a
                          process with members is believed to live)
    <key>:result:<id>     how it ended, for processes with members
    <key>:text:<id>       its text so far, while somebody elsewhere wants it; then `end` or `lost`

All of a call are in one slot of a cluster. All expire: a call that everybody left behind, after `KEEP_MS`.

Longer than other modules: the scripts are easier to check side by side.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import islice
from typing import Any, TypeVar

import redis

from .client import RedisClient, Value

T = TypeVar("T")
# A leader that did not renew its lease for this long is lost.
LEASE_MS = 3000
# A process that was silent for this long has no members any more.
ALIVE_MS = 5000
KEEP_MS = 15_000
# For the text and the end of a call: longer than anybody needs to read them.
KEEP_TEXT_MS = 60_000
# Renewals in one round trip.
TOGETHER = 100

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_OTHERS = """
local function others(call, me)
  local count, fields = 0, redis.call('HGETALL', call)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'm:' and fields[i] ~= 'm:' .. me then
      if tonumber(fields[i + 1]) > now then count = count + 1 else redis.call('HDEL', call, fields[i]) end
    end
  end
  return count
end
"""
_JOIN = """
local id = redis.call('GET', KEYS[1])
if id then
  local call = KEYS[2] .. id
  local known = redis.call('HMGET', call, 'fp', 'leader', 'turn', 'until')
  if known[1] and known[2] ~= ARGV[3] then
    redis.call('HSET', call, 'm:' .. ARGV[3], now + ARGV[5])
    redis.call('PEXPIRE', call, ARGV[6])
    return {id, known[1], tonumber(known[3]), now >= tonumber(known[4]) and 1 or 0}
  end
end
local call = KEYS[2] .. ARGV[1]
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[6])
redis.call('HSET', call, 'fp', ARGV[2], 'leader', ARGV[3], 'turn', 0, 'until', now + ARGV[4])
redis.call('PEXPIRE', call, ARGV[6])
return {}
"""
# -1: another process leads it. Else how many others have members, and whether they want the text. What Redis has lost is made
# again, and then the others have a second to do the same.
_RENEW = """
local known = redis.call('HMGET', KEYS[2], 'leader', 'turn', 'wants')
if known[1] and (known[2] ~= ARGV[4] or (known[1] ~= ARGV[3] and known[1] ~= '')) then return {-1, 0} end
local count = others(KEYS[2], ARGV[3])
local current = redis.call('GET', KEYS[1])
if known[1] and count == 0 and ARGV[7] == '0' then
  if current == ARGV[1] then redis.call('DEL', KEYS[1]) end
  redis.call('DEL', KEYS[2])
  return {0, 0}
end
redis.call('HSET', KEYS[2], 'fp', ARGV[2], 'leader', ARGV[3], 'turn', ARGV[4], 'until', now + ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if ARGV[8] == '1' and (not current or current == ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[6]) end
return {count, known[3] and tonumber(known[3]) > now and 1 or 0}
"""
# -1: it has ended. Else its turn, and whether its leader is lost. What Redis has lost is made again: the leader does the
# same, if it lives.
_STAY = """
if redis.call('EXISTS', KEYS[2]) == 1 then return {-1, 0} end
local known = redis.call('HMGET', KEYS[1], 'turn', 'until')
if not known[1] then
  known = {ARGV[4], now + ARGV[5]}
  redis.call('HSET', KEYS[1], 'fp', ARGV[2], 'leader', '', 'turn', known[1], 'until', known[2])
end
redis.call('HSET', KEYS[1], 'm:' .. ARGV[3], now + ARGV[6])
if ARGV[8] == '1' then redis.call('HSET', KEYS[1], 'wants', now + ARGV[6]) end
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return {tonumber(known[1]), now >= tonumber(known[2]) and 1 or 0}
"""
# The second value: 1 = this process leads it now, 0 = another one does, -1 = it has ended.
_TAKE_OVER = """
if redis.call('EXISTS', KEYS[3]) == 1 then return {0, -1} end
local known = redis.call('HMGET', KEYS[2], 'turn', 'until')
if known[1] and (known[1] ~= ARGV[4] or now < tonumber(known[2])) then return {tonumber(known[1]), 0} end
local turn = ARGV[4] + 1
redis.call('HSET', KEYS[2], 'fp', ARGV[2], 'leader', ARGV[3], 'turn', turn, 'until', now + ARGV[5])
redis.call('HDEL', KEYS[2], 'm:' .. ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[6], 'NX')
return {turn, 1}
"""
_GIVE_UP = """
local known = redis.call('HMGET', KEYS[2], 'leader', 'turn')
if known[1] ~= ARGV[3] or known[2] ~= ARGV[4] then return 0 end
local count = others(KEYS[2], ARGV[3])
if count == 0 and ARGV[6] == '0' then
  if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
  redis.call('DEL', KEYS[2])
  return 0
end
redis.call('HSET', KEYS[2], 'leader', '', 'until', 0)
if ARGV[6] == '1' then redis.call('HSET', KEYS[2], 'm:' .. ARGV[3], now + ARGV[5]) end
if count > 0 then
  redis.call('XADD', KEYS[3], '*', 'lost', ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[7])
end
return count
"""
# Without its state, which Redis may have lost, nobody knows whether others wait for the end.
_COMPLETE = """
local known = redis.call('HMGET', KEYS[2], 'leader', 'turn')
if known[1] and (known[2] ~= ARGV[3] or (known[1] ~= ARGV[2] and known[1] ~= '')) then return 0 end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if known[1] then
  local count = others(KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[2])
  if count == 0 then return 0 end
end
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
redis.call('XADD', KEYS[4], '*', 'end', 1)
redis.call('PEXPIRE', KEYS[4], ARGV[5])
return 1
"""
_LEAVE = """
redis.call('HDEL', KEYS[2], 'm:' .. ARGV[2])
local count = others(KEYS[2], ARGV[2])
if count == 0 and redis.call('HGET', KEYS[2], 'leader') == ARGV[2] then
  if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
  redis.call('DEL', KEYS[2])
end
return count
"""
_CLOSE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Flight:
    """A call as Redis knows it. `key`: the digest of what was asked. `turn`: how often another process took it over."""

    key: str
    call_id: str
    fingerprint: str
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Renewal:
    """`leads`: this process does; `here`: it has members; `is_open`: others may join; `wants`: it wants the text."""

    flight: Flight
    leads: bool
    here: bool
    is_open: bool = True
    wants: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """Of a call that this process leads: `deposed`, how many processes elsewhere have members, and whether they want the text.

    Of another one: its `turn`, whether its leader is `lost`, or it has `ended`.
    """

    deposed: bool = False
    elsewhere: int = 0
    wanted: bool = False
    turn: int = 0
    lost: bool = False
    ended: bool = False


class FlightScripts:
    """All methods raise `RedisAway`. `process`: this one, unique among all that live or lived."""

    def __init__(self, client: RedisClient, process: str) -> None:
        self.process = process
        self._client = client
        self._join = client.script(_NOW + _JOIN, _joined)
        self._take_over = client.script(_NOW + _TAKE_OVER, _taken)
        self._give_up = client.script(_NOW + _OTHERS + _GIVE_UP)
        self._complete = client.script(_NOW + _OTHERS + _COMPLETE)
        self._leave = client.script(_NOW + _OTHERS + _LEAVE, int)
        self._close = client.script(_CLOSE)
        self._renew, self._stay = _Source(_NOW + _OTHERS + _RENEW), _Source(_NOW + _STAY)

    def text_key(self, flight: Flight) -> str:
        return self._client.key(flight.key, "text", flight.call_id)

    def join(self, flight: Flight) -> tuple[Flight, bool] | None:
        """The call in progress, and whether its leader is lost. None: this flight began, and this process leads it."""
        keys = [self._client.key(flight.key), self._client.key(flight.key, "call", "")]
        found = self._join(keys, [flight.call_id, flight.fingerprint, self.process, LEASE_MS, ALIVE_MS, KEEP_MS])
        if not found:
            return None
        call_id, fingerprint, turn, lost = found
        return Flight(flight.key, call_id, fingerprint, turn), lost

    def renew(self, renewals: Sequence[Renewal]) -> Iterator[Renewed | None]:
        """What became of each; None: Redis refused to renew it."""
        batches = iter(renewals)
        while batch := list(islice(batches, TOGETHER)):
            replies = _run_together(self._client, [self._renewal(each) for each in batch])
            for renewal, reply in zip(batch, replies, strict=True):
                yield _renewed(renewal, reply)

    def take_over(self, flight: Flight) -> tuple[int, int]:
        """The turn, and 1 = this process leads the call now, 0 = another one does, -1 = it has ended."""
        keys = [self._current(flight), self._state(flight), self._result(flight)]
        arguments: list[Value] = [
            flight.call_id, flight.fingerprint, self.process, flight.turn, LEASE_MS, KEEP_MS
        ]  # fmt: skip
        taken: tuple[int, int] = self._take_over(keys, arguments)
        return taken

    def give_up(self, flight: Flight, *, here: bool) -> None:
        """`here`: this process has members that may take it over."""
        keys = [self._current(flight), self._state(flight), self.text_key(flight)]
        arguments: list[Value] = [flight.call_id, "", self.process, flight.turn, ALIVE_MS, int(here), KEEP_TEXT_MS]
        self._give_up(keys, arguments)

    def complete(self, flight: Flight, result: bytes) -> None:
        keys = [self._current(flight), self._state(flight), self._result(flight), self.text_key(flight)]
        self._complete(keys, [flight.call_id, self.process, flight.turn, result, KEEP_TEXT_MS])

    def leave(self, flight: Flight) -> int:
        """How many other processes have members."""
        others: int = self._leave([self._current(flight), self._state(flight)], [flight.call_id, self.process])
        return others

    def close(self, flight: Flight) -> None:
        self._close([self._current(flight)], [flight.call_id])

    def result(self, flight: Flight) -> object:
        key = self._result(flight)
        return self._client.run(lambda client: client.get(key))

    def _renewal(self, renewal: Renewal) -> "_Call":
        flight = renewal.flight
        asked: list[Any] = [flight.call_id, flight.fingerprint, self.process, flight.turn, LEASE_MS]
        if renewal.leads:
            keys = [self._current(flight), self._state(flight)]
            return _Call(self._renew, keys, [*asked, KEEP_MS, int(renewal.here), int(renewal.is_open)])
        keys = [self._state(flight), self._result(flight)]
        return _Call(self._stay, keys, [*asked, ALIVE_MS, KEEP_MS, int(renewal.wants)])

    def _current(self, flight: Flight) -> str:
        return self._client.key(flight.key)

    def _state(self, flight: Flight) -> str:
        return self._client.key(flight.key, "call", flight.call_id)

    def _result(self, flight: Flight) -> str:
        return self._client.key(flight.key, "result", flight.call_id)


class _Source:
    """A script that is called in pipelines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Call:
    source: _Source
    keys: list[str]
    arguments: list[Any]


def _joined(answer: Any) -> tuple[str, str, int, bool] | None:
    if not answer:
        return None
    call_id, fingerprint, turn, lost = answer
    return call_id.decode(), fingerprint.decode(), int(turn), bool(lost)


def _taken(answer: Any) -> tuple[int, int]:
    turn, leads = answer
    return int(turn), int(leads)


def _run_together(client: RedisClient, calls: Sequence[_Call]) -> list[Any]:
    """Their answers; of those that Redis refuses, its error."""
    replies = client.run(lambda redis_: _pipeline(redis_, calls))
    if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
        for source in {call.source for call in calls}:
            client.run(_load(source))
        replies = client.run(lambda redis_: _pipeline(redis_, calls))
    return replies


def _load(source: _Source) -> Callable[[redis.Redis], object]:
    return lambda client: client.script_load(source.text)


def _pipeline(client: redis.Redis, calls: Iterable[_Call]) -> list[Any]:
    with client.pipeline(transaction=False) as pipeline:
        for call in calls:
            pipeline.evalsha(call.source.digest, len(call.keys), *call.keys, *call.arguments)
        return pipeline.execute(raise_on_error=False)


def _renewed(renewal: Renewal, reply: Any) -> Renewed | None:
    if not isinstance(reply, list) or [type(part) for part in reply] != [int, int]:
        return None
    number, flag = reply
    if renewal.leads:
        return Renewed(deposed=number < 0, elsewhere=max(number, 0), wanted=bool(flag))
    return Renewed(ended=number < 0, turn=max(number, 0), lost=bool(flag))
