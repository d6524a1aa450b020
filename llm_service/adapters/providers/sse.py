"""Parses server-sent events from a stream of bytes (WHATWG HTML, section 9.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_EVENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`name` is empty if the server sent none."""

    name: str
    data: str


class EventTooLarge(Exception):
    """One event, or one line, is larger than `MAX_EVENT_BYTES`."""


def parse_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield each event when its blank line arrives. Text after the last blank line is dropped.

    Raises `EventTooLarge`, and `UnicodeDecodeError` for text that is not UTF-8.
    """
    name, data, size = b"", list[bytes](), 0
    for line in _lines(chunks):
        if line:
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise EventTooLarge
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
        else:
            if data:
                yield ServerSentEvent(name.decode(), b"\n".join(data).decode())
            name, data, size = b"", [], 0


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that ended with LF, CR LF or CR."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        if len(buffer) > MAX_EVENT_BYTES + len(chunk):
            raise EventTooLarge
        # A final CR may be half of a CR LF: it stays for the next chunk.
        end = max(buffer.rfind(b"\n"), buffer.rfind(b"\r", 0, -1)) + 1
        if end:
            complete, buffer = buffer[:end], buffer[end:]
            yield from complete.splitlines()
