"""Many concurrent exchanges with a plain asyncio protocol, so the load generator leaves the cores to the servers."""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """The result of one request. Times are seconds since it was sent; `first_s` is the first piece of text."""

    status: int = 0
    total_s: float = 0.0
    first_s: float | None = None
    deltas: int = 0
    whole: bool = False
    body: bytes = field(default=b"", repr=False)


class _Client(asyncio.Protocol):
    """Sends one request with `Connection: close` and reads until the end."""

    def __init__(self, request: bytes, leave_after: int | None) -> None:
        self.request = request
        self.leave_after = leave_after
        self.exchange = Exchange()
        self.parts: list[bytes] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.sent = time.perf_counter()
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        deltas = data.count(b"delta\nid:") + data.count(b"event: response.output_text.delta")
        if deltas and self.exchange.first_s is None:
            self.exchange.first_s = time.perf_counter() - self.sent
        self.exchange.deltas += deltas
        # The upstream keeps its connection open after the end.
        if b"event: response.completed" in data or b'"type": "response.completed"' in data:
            self.transport.close()
        if self.leave_after is not None and self.exchange.deltas >= self.leave_after:
            self.transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self.exchange.total_s = time.perf_counter() - self.sent
        whole = b"".join(self.parts)
        head, _, self.exchange.body = whole.partition(b"\r\n\r\n")
        self.exchange.status = int(head.split(b" ")[1]) if head else 0
        ends = (b"event: done", b"event: response.completed")
        self.exchange.whole = any(end in whole for end in ends)
        if not self.done.done():
            self.done.set_result(None)


async def exchange(url: str, body: object, *, leave_after: int | None = None, **headers: str) -> Exchange:
    """POST `body` as JSON. The client hangs up after `leave_after` deltas."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    content = json.dumps(body).encode()
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
    request = "\r\n".join([*lines, "", ""]).encode() + content
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(request, leave_after), address.hostname, address.port)
    await client.done
    return client.exchange


async def all_at_once(exchanges: Iterable["asyncio.Future[Exchange]"]) -> tuple[list[Exchange], float]:
    """The exchanges' results, and the seconds until the last one ended."""
    started = time.perf_counter()
    results = await asyncio.gather(*exchanges)
    return list(results), time.perf_counter() - started


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
