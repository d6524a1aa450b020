"""The load generator: asyncio protocols that parse as little as they can, so the cores are left to the servers.

`closed_loop` keeps a number of connections busy and measures the time of each answer; `all_at_once` sends many requests
at the same moment, each on its own connection, and keeps the answers. Times are seconds.

It is our own because it checks the text of each answer, reads events and sends bursts. wrk can do none of these, and costs
half as much: a request of a closed loop takes this generator as much CPU as a quarter of a bare Flask view.
"""

import asyncio
import gc
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.rig import percentile

HOST = "127.0.0.1"
# A request counts as failed after this time.
TIMEOUT_S = 120


def request(path: str, body: object, headers: Sequence[str] = ()) -> bytes:
    """A POST of JSON; each header is a line such as `Authorization: Bearer ...`."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", *headers, "", ""]).encode() + content


class Response:
    """Collects the bytes of one response."""

    __slots__ = ("_ends_at", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        # Bytes until the end; 0 = unknown, -1 = chunked.
        self._ends_at = 0

    def feed(self, data: bytes) -> bool:
        """Whether the response is complete."""
        self.data += data
        if not self._ends_at:
            self._read_head()
        return self.data.endswith(b"\r\n0\r\n\r\n") if self._ends_at < 0 else 0 < self._ends_at <= len(self.data)

    @property
    def status(self) -> int:
        return int(self.data[9:12]) if len(self.data) > 12 else 0

    def body(self) -> bytes:
        body = bytes(self.data).partition(b"\r\n\r\n")[2]
        return b"".join(_chunks(body)) if self._ends_at < 0 else body

    def _read_head(self) -> None:
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.data[:end]).lower()
        _, found, rest = head.partition(b"content-length:")
        self._ends_at = end + 4 + int(rest.partition(b"\r\n")[0]) if found else -1


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end], 16)
        yield body[line_end + 2 : line_end + 2 + size]
        at = line_end + size + 4


@dataclass
class Load:
    """What a closed loop measured."""

    times_s: list[float] = field(default_factory=list, repr=False)
    failures: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    generator_cpu_s: float = 0.0

    @property
    def per_s(self) -> float:
        return len(self.times_s) / self.wall_s

    def ms(self, percent: float) -> float:
        """NaN if nothing was answered."""
        return percentile(self.times_s, percent) * 1000 if self.times_s else math.nan


# The request with that number, and a part of the good answer.
Ask = Callable[[int], tuple[bytes, bytes]]


class _Caller(asyncio.Protocol):
    """One connection of a closed loop: asks again as soon as it has the answer."""

    def __init__(self, loop: "_ClosedLoop") -> None:
        self.loop = loop
        self.response: Response | None = None
        self.expected = b""
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None or not response.feed(data):
            return
        took_s = time.perf_counter() - self.sent
        if response.status == 200 and self.expected in response.data:
            self.loop.load.times_s.append(took_s)
        else:
            self.loop.load.failures.append(failure_of(response))
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self.response is not None:
            self.loop.load.failures.append(f"connection lost: {error or 'closed by the server'}")
        self.loop.leave()

    def _ask(self) -> None:
        turn = self.loop.next_turn()
        if turn is None:
            self.response = None
            self.transport.close()
            return
        data, self.expected = turn
        self.response = Response()
        self.sent = time.perf_counter()
        self.transport.write(data)


class _ClosedLoop:
    def __init__(self, ask: Ask, connections: int, count: int | None, seconds: float) -> None:
        self.load = Load()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ask = ask
        self._left = connections
        self._number = 0
        self._count = count
        self._until = time.perf_counter() + seconds

    async def connect(self, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Caller(self), HOST, port)
        except OSError as error:
            self.load.failures.append(f"no connection: {error}")
            self.leave()

    def next_turn(self) -> tuple[bytes, bytes] | None:
        over = self._number >= self._count if self._count is not None else time.perf_counter() > self._until
        if over:
            return None
        self._number += 1
        return self._ask(self._number - 1)

    def leave(self) -> None:
        self._left -= 1
        if not self._left:
            self.over.set_result(None)


async def closed_loop(
    port: int, ask: Ask, connections: int, *, seconds: float = TIMEOUT_S, count: int | None = None
) -> Load:
    """Keep the connections busy for some seconds, or for a number of requests."""
    with _without_gc():
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        closed = _ClosedLoop(ask, connections, count, seconds)
        await asyncio.gather(*(closed.connect(port) for _ in range(connections)))
        try:
            await asyncio.wait_for(closed.over, seconds + TIMEOUT_S)
        except TimeoutError:
            closed.load.failures.append(f"not all answered in {TIMEOUT_S} s")
        closed.load.wall_s = time.perf_counter() - wall_s
        closed.load.generator_cpu_s = time.process_time() - cpu_s
    return closed.load


@dataclass
class Reply:
    """One answer. Times are seconds since the call began, with connecting; `first_s` is the first piece of text."""

    response: Response = field(default_factory=Response, repr=False)
    total_s: float = 0.0
    first_s: float | None = None

    @property
    def status(self) -> int:
        return self.response.status


class _Exchange(asyncio.Protocol):
    """One call. `mark` begins each piece of text; the caller hangs up after `leave_after` of them."""

    def __init__(self, data: bytes, mark: bytes, leave_after: int | None) -> None:
        self.request = data
        self.mark = mark
        self.leave_after = leave_after
        self.reply = Reply()
        self.began = time.perf_counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        response = self.reply.response
        complete = response.feed(data)
        if self.reply.first_s is None and self.mark and self.mark in response.data:
            self.reply.first_s = time.perf_counter() - self.began
        if complete:
            self.transport.close()
        elif self.leave_after is not None and response.data.count(self.mark) >= self.leave_after:
            self.transport.abort()
        else:
            return
        self._finish()

    def connection_lost(self, _error: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.reply.total_s = time.perf_counter() - self.began
            self.done.set_result(None)


async def exchange(port: int, data: bytes, mark: bytes = b"", leave_after: int | None = None) -> Reply:
    """One call. A reply without status = no connection."""
    call = _Exchange(data, mark, leave_after)
    try:
        await asyncio.get_running_loop().create_connection(lambda: call, HOST, port)
    except OSError:
        return call.reply
    try:
        await asyncio.wait_for(call.done, TIMEOUT_S)
    except TimeoutError:
        call.transport.abort()
    return call.reply


async def all_at_once(
    port: int, requests: Sequence[bytes], mark: bytes = b"", leave_after: int | None = None
) -> tuple[list[Reply], float]:
    """The replies in the order of the requests, and the seconds until the last one ended."""
    with _without_gc():
        began = time.perf_counter()
        replies = await asyncio.gather(*(exchange(port, data, mark, leave_after) for data in requests))
        return list(replies), time.perf_counter() - began


async def one_by_one(port: int, requests: Sequence[bytes], mark: bytes = b"") -> list[Reply]:
    with _without_gc():
        return [await exchange(port, data, mark) for data in requests]


def failure_of(response: Response) -> str:
    """One line about a response that is not the expected one."""
    if not response.status:
        return "no answer"
    return f"{response.status} {response.body()[:200].decode(errors='replace')}"


@contextmanager
def _without_gc() -> Iterator[None]:
    """A collection would delay whatever is being timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
