"""A TCP proxy before a real server, with the faults of networks: switched on and off while connections are open.

    with TcpProxy(port) as proxy:     # clients connect to proxy.port
        proxy.use(Latency(0.5))
        proxy.heal()

The kinds, and what they do, are those of Toxiproxy. They act on what the server sends, except `Down`, `ResetPeer` and
`Timeout`, which act on both directions.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST
PIECE = 65_536


@dataclass(frozen=True)
class Latency:
    """Each piece of an answer comes that much later."""

    seconds: float


@dataclass(frozen=True)
class Down:
    """Open connections are cut, new ones refused."""


@dataclass(frozen=True)
class Bandwidth:
    bytes_per_s: int


@dataclass(frozen=True)
class SlowClose:
    """When a side closes, the other hears of it that much later."""

    seconds: float


@dataclass(frozen=True)
class Timeout:
    """Connections are accepted and nothing passes. What was sent meanwhile arrives when the fault is over."""


@dataclass(frozen=True)
class ResetPeer:
    """Open connections are reset, new ones as soon as they are accepted."""


@dataclass(frozen=True)
class Slicer:
    """Answers come in small pieces."""

    size: int
    pause_s: float


@dataclass(frozen=True)
class LimitData:
    """A connection is cut when it has carried that many bytes of answers, counted from when the fault began."""

    most: int


Toxic = Latency | Down | Bandwidth | SlowClose | Timeout | ResetPeer | Slicer | LimitData


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    answered: int = 0
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def cut(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if writer is None:
                continue
            if reset and (plain := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            else:
                writer.close()
        for task in self.tasks:
            task.cancel()


class TcpProxy:
    """In a thread of its own, on 127.0.0.1. `accepted`: how many connections there were. New ones go to the port `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._toxic: Toxic | None = None
        self._changed = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_error: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def use(self, toxic: Toxic) -> None:
        """From now on, for open connections and for new ones, in place of what was before."""
        self._do(self._use(toxic))

    def heal(self) -> None:
        self._do(self._use(None))

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def _use(self, toxic: Toxic | None) -> None:
        self._toxic = toxic
        self._changed.set()
        self._changed = asyncio.Event()
        if isinstance(toxic, Down) and self._listening is not None:
            self._listening.close()
            self._listening = None
        elif not isinstance(toxic, Down) and self._listening is None:
            await self._listen()
        for connection in tuple(self._connections):
            connection.answered = 0
            if isinstance(toxic, Down | ResetPeer):
                connection.cut(reset=isinstance(toxic, ResetPeer))

    async def _stop(self) -> None:
        await self._use(Down())
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            if isinstance(self._toxic, ResetPeer | Down):
                connection.cut(reset=True)
                return
            from_server, connection.server = await asyncio.open_connection("127.0.0.1", self.target)
            connection.tasks = [
                asyncio.ensure_future(self._pump(connection, reader, connection.server, is_answer=False)),
                asyncio.ensure_future(self._pump(connection, from_server, writer, is_answer=True)),
            ]
            await asyncio.wait(connection.tasks)
        except OSError:
            pass  # the server is away: the client's connection is closed
        finally:
            self._connections.discard(connection)
            for open_writer in (writer, connection.server):
                if open_writer is not None:
                    open_writer.close()

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(PIECE):
                await self._pass_on(connection, writer, data, is_answer=is_answer)
        except OSError:
            connection.cut(reset=True)
        else:
            await self._close(writer)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        while isinstance(self._toxic, Timeout):
            await self._changed.wait()
        if isinstance(self._toxic, SlowClose):
            await self._pause(self._toxic.seconds)
        with suppress(OSError):
            writer.write_eof()

    async def _pass_on(
        self, connection: _Connection, writer: asyncio.StreamWriter, data: bytes, *, is_answer: bool
    ) -> None:
        """Write the data as the fault of the moment does; it may change meanwhile."""
        while data:
            match self._toxic:
                case Timeout():
                    await self._changed.wait()
                    continue
                case Latency(seconds) if is_answer:
                    await self._pause(seconds)
                    piece = data
                case Bandwidth(bytes_per_s) if is_answer:
                    piece = data[: max(1, bytes_per_s // 20)]
                    await self._pause(len(piece) / bytes_per_s)
                case Slicer(size, pause_s) if is_answer:
                    piece = data[:size]
                    await self._pause(pause_s)
                case LimitData(most) if is_answer:
                    piece = data[: most - connection.answered]
                case _:
                    piece = data
            writer.write(piece)
            await writer.drain()
            data = data[len(piece) :]
            if is_answer:
                connection.answered += len(piece)
                if isinstance(self._toxic, LimitData) and connection.answered >= self._toxic.most:
                    connection.cut(reset=False)
                    return

    async def _pause(self, seconds: float) -> None:
        """It ends when the fault does."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
