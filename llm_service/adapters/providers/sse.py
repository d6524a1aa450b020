"""Parses server-sent events from a stream of bytes (WHATWG HTML, section 9.2)."""

from collections.abc import Iterable, Iterator, Sequence

MAX_EVENT_BYTES = 1024 * 1024


class EventTooLarge(Exception):
    """One event, or one line, is larger than `MAX_EVENT_BYTES`."""


def parse_events(chunks: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the data of the events that a chunk completes, if any. Text after the last blank line is dropped.

    Raises `EventTooLarge`.
    """
    data, size = list[bytes](), 0
    for lines in _lines(chunks):
        events: list[bytes] = []
        for line in lines:
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise EventTooLarge
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data, size = [], 0
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line == b"data":
                data.append(b"")
        if events:
            yield events


def _lines(chunks: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """The lines that each chunk completes. They end with LF, CR LF or CR."""
    buffer = bytearray()
    for chunk in chunks:
        unseen = max(len(buffer) - 1, 0)
        buffer += chunk
        # A final CR may be half of a CR LF: it stays for the next chunk.
        end = max(buffer.rfind(b"\n", unseen), buffer.rfind(b"\r", unseen, -1)) + 1
        if len(buffer) - end > MAX_EVENT_BYTES:
            raise EventTooLarge
        if end:
            yield bytes(buffer[:end]).splitlines()
            del buffer[:end]
