"""Outcomes that the database could not store, in a file: one line each, flushed to the disk when `add` returns.

Lines that are added at the same time are written and flushed together. A bill that came after its outcome is a line of its
own, later in the file.
"""

import fcntl
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_service.core.errors import StorageError
from llm_service.core.generation.model import AnswerWarning, Generation, Status
from llm_service.core.generation.tried_models import tried_models
from llm_service.core.messages import Message, Messages, Role, from_plain, to_plain
from llm_service.core.usage.tokens import Usage

from ..new_files import open_private
from .lines import append, closing, flush_folder, whole_lines
from .put_aside import PutAside

# Overwrites a line that has been stored.
_DONE = b" "
# Of bad lines, which are put aside together.
_TOGETHER_BYTES = 1024 * 1024
_MONEY = ("cost_usd", "saved_usd")
# In the line of a late bill: the bill that the outcome had.
_AMENDS = "amends"
_BILL = ("billed", "cost_usd", "price_version", "unreported")


class FileSpool:
    """Satisfies `Spool`. Several processes may share the file: each locks it while it writes or replays."""

    def __init__(self, path: Path, *, keeps_texts: bool = True) -> None:
        self._path = path
        self._keeps_texts = keeps_texts
        self._lock = threading.Lock()
        self._waiting: deque[_Line] = deque()
        self._aside = PutAside(path.with_name(f"{path.name}.bad"))

    def add(self, generation: Generation, was: Generation | None = None) -> None:
        kept = generation if self._keeps_texts else generation.without_texts()
        line = _Line(_line_of(kept, was))
        self._waiting.append(line)
        try:
            time.sleep(0)  # others that are ready to run are written with it
            with self._lock:
                if not line.tried:
                    self._write_waiting()
        finally:
            if not line.tried:
                self._waiting.remove(line)
        if line.error is not None:
            raise line.error

    def replay(
        self, store: Callable[[Generation], None], amend: Callable[[Generation, Generation], None]
    ) -> Sequence[Exception]:
        if not self._path.exists() or not self._path.stat().st_size:
            return ()
        with self._lock, self._opened(os.O_RDWR) as file:
            bad = _BadLines(file, self._aside)
            start = 0
            for line in whole_lines(self._path):
                try:
                    if line.strip(_DONE):
                        outcome, was = _read(json.loads(line))
                        store(outcome) if was is None else amend(was, outcome)
                except StorageError:
                    raise
                except Exception as error:
                    # It must not block the others.
                    bad.add(start, line, error)
                else:
                    # If a later one is not stored, the file stays, and this one must not be counted again.
                    os.pwrite(file, _DONE * len(line), start)
                start += len(line) + 1
                # There may be thousands, and other greenlets wait.
                time.sleep(0)
            bad.flush()
            os.ftruncate(file, bad.left_until)
            os.fsync(file)
        return bad.faults

    def forget(self, owner: str, request_id: str | None = None) -> None:
        """Delete what was put aside of the owner, or of one generation. Raises `OSError`."""
        if self._aside.exists:
            with self._lock, self._opened(os.O_CREAT | os.O_RDWR):
                self._aside.forget(owner, request_id)

    def prune(self, before_ms: int) -> None:
        """Delete what was put aside and began earlier. Raises `OSError`."""
        if self._aside.exists:
            with self._lock, self._opened(os.O_CREAT | os.O_RDWR):
                self._aside.prune(before_ms)

    def _write_waiting(self) -> None:
        with self._opened(os.O_CREAT | os.O_APPEND | os.O_RDWR) as file:
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            _write(file, lines)
            try:
                flush_folder(self._path.parent)
            except OSError as error:
                for line in lines:
                    line.error = line.error or error

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        """The file, locked. Waiting for the lock must block only this greenlet, not the process."""
        with closing(self._open(flags)) as file:
            while not _locks(file):
                time.sleep(0.05)
            yield file

    def _open(self, flags: int) -> int:
        if flags & os.O_CREAT:
            return open_private(self._path, flags, self._path.parent)
        return os.open(self._path, flags)


class _Line:
    """A line to add. `tried`: it was written, or that failed with `error`."""

    __slots__ = ("error", "text", "tried")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.tried = False
        self.error: OSError | None = None


def _write(file: int, lines: Sequence[_Line]) -> None:
    """All together; if they do not fit, those that do."""
    error: OSError | None = None
    try:
        append(file, b"".join(line.text for line in lines))
    except OSError as failed:
        error = failed
    if error is not None and len(lines) > 1:
        for line in lines:
            _write(file, [line])
        return
    for line in lines:
        line.tried, line.error = True, error


class _BadLines:
    """Puts lines aside, many at once because each time flushes the disk. Until then they are in the spool, and only there."""

    def __init__(self, file: int, aside: PutAside) -> None:
        self._file = file
        self._aside = aside
        self._waiting: list[tuple[int, bytes, Exception]] = []
        self._bytes = 0
        self._works = True
        # Of lines put aside, why they are bad; and at most one `OSError`, why others could not be put aside.
        self.faults: list[Exception] = []
        # The end of the last line that stays in the spool, for the next replay.
        self.left_until = 0

    def add(self, start: int, line: bytes, fault: Exception) -> None:
        self._waiting.append((start, line, fault))
        self._bytes += len(line)
        if self._bytes >= _TOGETHER_BYTES:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        if self._put_aside([line for _, line, _ in waiting]):
            self.faults += [fault for *_, fault in waiting]
            for start, line, _ in waiting:
                os.pwrite(self._file, _DONE * len(line), start)
        else:
            start, line, _ = waiting[-1]
            self.left_until = start + len(line) + 1

    def _put_aside(self, lines: list[bytes]) -> bool:
        if self._works:
            try:
                self._aside.add(lines)
            except OSError as error:
                self._works = False
                self.faults.append(error)
        return self._works


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _line_of(generation: Generation, was: Generation | None) -> bytes:
    values = {**asdict(generation), "messages": to_plain(generation.messages)}
    if was is not None:
        bill = asdict(was)
        values[_AMENDS] = {name: bill[name] for name in _BILL}
    return (json.dumps(values, default=str, ensure_ascii=True) + "\n").encode()


def _read(values: dict[str, Any]) -> tuple[Generation, Generation | None]:
    """What a line says: an outcome; or one with a later bill, and the same with its earlier bill."""
    amends = values.pop(_AMENDS, None)
    was = None if amends is None else _generation({**values, **amends})
    return _generation(values), was


def _generation(values: dict[str, Any]) -> Generation:
    messages = _two_prompts(**values.pop("prompts")) if "prompts" in values else from_plain(values["messages"])
    money = {name: None if values[name] is None else Decimal(values[name]) for name in _MONEY}
    plain = {**values, **money, "status": Status(values["status"])}
    usages = {name: Usage(**values[name]) for name in ("usage", "billed")}
    # Lines of earlier versions have neither warnings nor fallbacks.
    more = {
        "warnings": tuple(AnswerWarning(**warning) for warning in values.get("warnings", ())),
        "fallbacks": tried_models(values.get("fallbacks", ())),
        "tags": tuple(values.get("tags", ())),
    }
    return Generation(**{**plain, **usages, **more, "messages": messages})


def _two_prompts(system: str, user: str) -> Messages:
    """The messages of a line from before migration 0008, which had two prompts."""
    both = (Message.of(Role.SYSTEM, system), Message.of(Role.USER, user))
    return both if system else both[1:] if user else ()
