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
from llm_service.core.generation.model import Generation, Status
from llm_service.core.messages import Message, Messages, Role, from_plain, to_plain
from llm_service.core.usage.tokens import Usage

from .put_aside import PutAside

# Overwrites a line that has been stored.
_DONE = b" "
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
            _append(file, line.encode())
        with _closing(os.open(self._path.parent, os.O_RDONLY)) as folder:
            os.fsync(folder)

    def replay(self, store: Callable[[Generation], None]) -> Sequence[Exception]:
        if not self._path.exists() or not self._path.stat().st_size:
            return ()
        faults = []
        with self._opened(os.O_RDWR) as file:
            start = 0
            for line in _whole_lines(self._path):
                try:
                    if line.strip(_DONE):
                        store(_generation(json.loads(line)))
                except StorageError:
                    raise
                except Exception as error:
                    # It must not block the others.
                    self._aside.add(line)
                    faults.append(error)
                # If a later one is not stored, the file stays, and this one must not be counted again.
                os.pwrite(file, _DONE * len(line), start)
                start += len(line) + 1
            os.ftruncate(file, 0)
            os.fsync(file)
        return faults

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
        with self._lock, _closing(os.open(self._path, flags, 0o600)) as file:
            while not _locks(file):
                time.sleep(0.05)
            yield file


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Without their ends. A last line without one is left out: its process died, so no caller was told that it is stored."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


@contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


def _append(file: int, line: bytes) -> None:
    """Append the whole line and flush it, or leave the file unchanged and raise `OSError`."""
    size = os.fstat(file).st_size
    # A line that a dying process left incomplete must not absorb this one.
    rest = memoryview(b"\n" + line if size and os.pread(file, 1, size - 1) != b"\n" else line)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


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
    return Generation(**{**plain, **usages, "messages": messages})


def _two_prompts(system: str, user: str) -> Messages:
    """The messages of a line from before migration 0008, which had two prompts."""
    both = (Message.of(Role.SYSTEM, system), Message.of(Role.USER, user))
    return both if system else both[1:] if user else ()
