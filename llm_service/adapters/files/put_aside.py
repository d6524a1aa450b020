"""Lines of the spool that could not be stored, in a file for the operator: `<database>.spool.bad`.

A line may contain an answer that was paid for, and texts of its caller. So it is kept, but no longer than the history is,
not after its owner deletes it, and not in any amount. Each line has a head, a tab, and the line as the spool had it.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

MAX_BYTES = 16 * 1024 * 1024
log = structlog.get_logger("llm_service")


@dataclass(frozen=True, slots=True)
class _Head:
    """`since_ms`: the age of the texts. The others are None if the line does not say."""

    since_ms: int
    owner: str | None
    request_id: str | None


_Entry = tuple[_Head, bytes]


class PutAside:
    """Callers hold the lock of the spool, which all processes share. All methods raise `OSError`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def add(self, line: bytes) -> None:
        head = _head_of(line, round(time.time() * 1000))
        log.error(
            "an outcome could not be stored and was put aside, until APP_HISTORY_DAYS or its owner deletes it",
            file=str(self._path),
            request_id=head.request_id,
            bytes=len(line),
        )
        entries = [*self._entries(), (head, line)]
        size = sum(len(text) for _, text in entries)
        while size > self._max_bytes:
            (oldest, text), *entries = entries
            size -= len(text)
            log.error("too much was put aside: the oldest was removed", request_id=oldest.request_id)
        self._write(entries)

    def forget(self, owner: str, request_id: str | None = None) -> None:
        """Remove what belongs to the owner, or only one generation; and what may be theirs, if the line does not say."""
        wanted = (request_id or "").encode()
        self._remove(lambda head, line: head.owner in (owner, None) and wanted in line)

    def prune(self, before_ms: int) -> None:
        """Remove what is older."""
        self._remove(lambda head, _line: head.since_ms < before_ms)

    def _remove(self, goes: Callable[[_Head, bytes], bool]) -> None:
        entries = self._entries()
        kept = [(head, line) for head, line in entries if not goes(head, line)]
        if len(kept) < len(entries):
            self._write(kept)

    def _entries(self) -> list[_Entry]:
        if not self.exists:
            return []
        written_ms = int(self._path.stat().st_mtime * 1000)
        with self._path.open("rb") as file:
            return [_entry_of(line.removesuffix(b"\n"), written_ms) for line in file]

    def _write(self, entries: list[_Entry]) -> None:
        """Replace the whole file: a process that dies meanwhile leaves the old one."""
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        new = self._path.with_name(f"{self._path.name}.new")
        with open(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            for head, line in entries:
                file.write(json.dumps(asdict(head)).encode() + b"\t" + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _entry_of(line: bytes, written_ms: int) -> _Entry:
    """Earlier versions wrote no heads; then the file's own age counts."""
    head, tab, text = line.partition(b"\t")
    try:
        return (_Head(**json.loads(head)), text) if tab else (_head_of(line, written_ms), line)
    except (ValueError, TypeError):  # a damaged line with a tab
        return _head_of(line, written_ms), line


def _head_of(line: bytes, now_ms: int) -> _Head:
    try:
        values: Any = json.loads(line)
    except ValueError:
        values = None
    found = values if isinstance(values, dict) else {}
    owner, request_id, since = (found.get(name) for name in ("owner", "request_id", "created_ms"))
    return _Head(
        since_ms=since if isinstance(since, int) and not isinstance(since, bool) else now_ms,
        owner=owner if isinstance(owner, str) else None,
        request_id=request_id if isinstance(request_id, str) else None,
    )
