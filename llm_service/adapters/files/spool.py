"""Answers that the database could not store, in a file: one line each, flushed to the disk when `add` returns."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_service.core.errors import StorageError
from llm_service.core.generation.model import AnswerWarning, Generation, Status
from llm_service.core.messages import Message, Messages, Role, from_plain, to_plain
from llm_service.core.usage.tokens import Usage

from .lines import append, closing, flush_folder, whole_lines
from .put_aside import PutAside

# Overwrites a line that has been stored.
_DONE = b" "
# Of bad lines, which are put aside together.
_TOGETHER_BYTES = 1024 * 1024
_MONEY = ("cost_usd", "saved_usd")


class FileSpool:
    """Satisfies `Spool`. Several processes may share the file: each locks it while it writes or replays."""

    def __init__(self, path: Path, *, keeps_texts: bool = True) -> None:
        self._path = path
        self._keeps_texts = keeps_texts
        self._lock = threading.Lock()
        self._aside = PutAside(path.with_name(f"{path.name}.bad"))

    def add(self, generation: Generation) -> None:
        kept = generation if self._keeps_texts else generation.without_texts()
        values = {**asdict(kept), "messages": to_plain(kept.messages)}
        line = json.dumps(values, default=str, ensure_ascii=True) + "\n"
        with self._opened(os.O_CREAT | os.O_APPEND | os.O_RDWR) as file:
            append(file, line.encode())
        flush_folder(self._path.parent)

    def replay(self, store: Callable[[Generation], None]) -> Sequence[Exception]:
        if not self._path.exists() or not self._path.stat().st_size:
            return ()
        with self._opened(os.O_RDWR) as file:
            bad = _BadLines(file, self._aside)
            start = 0
            for line in whole_lines(self._path):
                try:
                    if line.strip(_DONE):
                        store(_generation(json.loads(line)))
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
            with self._opened(os.O_CREAT | os.O_RDWR):
                self._aside.forget(owner, request_id)

    def prune(self, before_ms: int) -> None:
        """Delete what was put aside and began earlier. Raises `OSError`."""
        if self._aside.exists:
            with self._opened(os.O_CREAT | os.O_RDWR):
                self._aside.prune(before_ms)

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        """The file, locked. Waiting for the lock must block only this greenlet, not the process."""
        with self._lock, closing(os.open(self._path, flags, 0o600)) as file:
            while not _locks(file):
                time.sleep(0.05)
            yield file


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


def _generation(values: dict[str, Any]) -> Generation:
    messages = _two_prompts(**values.pop("prompts")) if "prompts" in values else from_plain(values["messages"])
    money = {name: None if values[name] is None else Decimal(values[name]) for name in _MONEY}
    plain = {**values, **money, "status": Status(values["status"])}
    usages = {name: Usage(**values[name]) for name in ("usage", "billed")}
    # Lines of earlier versions have no warnings.
    warnings = tuple(AnswerWarning(**warning) for warning in values.get("warnings", ()))
    return Generation(**{**plain, **usages, "messages": messages, "warnings": warnings})


def _two_prompts(system: str, user: str) -> Messages:
    """The messages of a line from before migration 0008, which had two prompts."""
    both = (Message.of(Role.SYSTEM, system), Message.of(Role.USER, user))
    return both if system else both[1:] if user else ()
