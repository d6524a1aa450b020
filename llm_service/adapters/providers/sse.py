"""Parses server-sent events from bytes (WHATWG HTML, section 9.2)."""

from collections.abc import Sequence
from itertools import chain

# The last event has the whole answer, which may be 2 MiB, six times as much when it is escaped, and the request besides.
MAX_EVENT_BYTES = 16 * 1024 * 1024
# What is longer is read line by line, and its length is counted.
MAX_SIMPLE_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event, or one line, is larger than `MAX_EVENT_BYTES`."""


class EventParser:
    """Takes the bytes as they arrive. Text after the last blank line is never an event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_first_line = True
        # Of the event that is not complete.
        self._data: list[bytes] = []
        self._size = 0
        # The lines of the last events, in the pieces in which they came.
        self._seen: list[Sequence[bytes]] = []
        self._completed = 0

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """The data of the events that `chunk` completes.

        Raises `EventTooLarge`.
        """
        is_long = self._size + len(self._rest) + len(chunk) > MAX_SIMPLE_BYTES
        lines = self._lines(chunk)
        events = None if is_long or self._size else _simple_events(lines)
        if events is None:
            events = self._events(lines)
        if self._completed:
            self._seen = [self._seen[-1], lines]
        elif lines:
            self._seen.append(lines)
        self._completed = len(events)
        return events

    def _events(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        events: list[bytes] = []
        data, size = self._data, self._size
        for line in lines:
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise EventTooLarge
            if line[:5] == b"data:":
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data, size = [], 0
            elif line == b"data":
                data.append(b"")
        self._data, self._size = data, size
        return events

    def end(self) -> Sequence[bytes]:
        """As `feed`, at the end of the body: a final CR is a whole line end."""
        return self.feed(b"\n") if self._rest.endswith(b"\r") else ()

    def names(self) -> Sequence[bytes]:
        """The `event:` lines of the events that the last call of `feed` returned, empty where there is none.

        Hardly anyone asks for them, so that reading them costs nothing until then.
        """
        names, name, has_data = list[bytes](), b"", False
        for line in chain.from_iterable(self._seen):
            if line[:5] == b"data:" or line == b"data":
                has_data = True
            elif line[:6] == b"event:":
                name = line
            elif not line:
                if has_data:
                    names.append(name)
                name, has_data = b"", False
        return names[len(names) - self._completed :]

    def last_field(self, name: bytes) -> bytes | None:
        """The value of the last line with this field since the event before the last; None = there is none.

        A server told its errors in a field of its own, which is no event: `error: {"code": 500}`.
        """
        found = [line for line in chain.from_iterable(self._seen) if line.startswith(name + b":")]
        return found[-1][len(name) + 1 :] if found else None

    def last_object(self) -> bytes | None:
        """The last line that is no field, but looks like a JSON object: since the event before the last, or unfinished."""
        lines = [*chain.from_iterable(self._seen), bytes(self._rest)]
        return next((line for line in reversed(lines) if line.startswith(b"{")), None)

    def _lines(self, chunk: bytes) -> Sequence[bytes]:
        """The lines that `chunk` completes. They end with LF, CR LF or CR."""
        rest = self._rest
        unseen = max(len(rest) - 1, 0)
        rest += chunk
        # A final CR may be half of a CR LF: it stays for the next chunk.
        end = max(rest.rfind(b"\n", unseen), rest.rfind(b"\r", unseen, -1)) + 1
        if len(rest) - end > MAX_EVENT_BYTES:
            raise EventTooLarge
        lines = bytes(rest[:end]).splitlines()
        del rest[:end]
        if self._is_first_line and lines:
            # One byte order mark is ignored. It may come in pieces, so the whole line is needed.
            self._is_first_line = False
            lines[0] = lines[0].removeprefix(_BOM)
        return lines


def _simple_events(lines: Sequence[bytes]) -> Sequence[bytes] | None:
    """The data of whole events that all have one line of data, after their names or without any; None: they do not.

    So nearly all come, many at once, and line by line they would take four times as long.
    """
    per_event = 3 if lines and lines[0][:6] == b"event:" else 2
    if len(lines) % per_event or any(lines[per_event - 1 :: per_event]):
        return None
    data = lines[per_event - 2 :: per_event]
    events = [line[6:] for line in data if line[:6] == b"data: "]
    names = data if per_event == 2 else [line for line in lines[::3] if line[:6] == b"event:"]
    return events if len(events) == len(names) == len(data) else None
