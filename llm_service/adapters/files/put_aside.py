"""Lines of the spool that could not be stored, in a file for the operator: `<database>.spool.bad`.

A line may contain an answer that was paid for, and texts of its caller. So it is kept, but no longer than the history is,
not after its owner deletes it, and not in any amount. Each line has a head, a tab, and the line as the spool had it.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from ..new_files import open_private
from .lines import append, closing, flush_folder

MAX_BYTES = 16 * 1024 * 1024
# Of these, when there was more.
KEPT = 0.75
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

    def add(self, lines: Sequence[bytes]) -> None:
        """All of them, or none if it raises."""
        now_ms = round(time.time() * 1000)
        entries = [(_head_of(line, now_ms), line) for line in lines]
        text = b"".join(map(_written, entries))
        size = self._path.stat().st_size if self.exists else 0
        if size + len(text) > self._max_bytes or self._begins_without_head():
            # Lines without heads are as old as the file, whose age changes now.
            self._rewrite_with(entries)
        else:
            with closing(open_private(self._path, os.O_APPEND | os.O_RDWR, self._path.parent)) as file:
                append(file, text)
        flush_folder(self._path.parent)
        for head, line in entries:
            log.error(
                "an outcome could not be stored and was put aside, until APP_HISTORY_DAYS or its owner deletes it",
                file=str(self._path),
                request_id=head.request_id,
                bytes=len(line),
            )

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

    def _begins_without_head(self) -> bool:
        if not self.exists:
            return False
        with self._path.open("rb") as file:
            line = file.readline()
        return bool(line) and _split(line) is None

    def _rewrite_with(self, entries: list[_Entry]) -> None:
        """If all is too much, the oldest go: more than needed, because each time costs as much as the whole file."""
        kept = deque([*self._entries(), *entries])
        removed = []
        size = sum(len(_written(entry)) for entry in kept)
        allowed = self._max_bytes * KEPT if size > self._max_bytes else size
        while size > self._max_bytes or (size > allowed and len(kept) > 1):
            removed.append(kept.popleft())
            size -= len(_written(removed[-1]))
        self._write(kept)
        for head, _ in removed:
            log.error("too much was put aside: the oldest was removed", request_id=head.request_id)

    def _entries(self) -> list[_Entry]:
        if not self.exists:
            return []
        written_ms = int(self._path.stat().st_mtime * 1000)
        with self._path.open("rb") as file:
            return [_entry_of(line.removesuffix(b"\n"), written_ms) for line in file]

    def _write(self, entries: Collection[_Entry]) -> None:
        """Replace the whole file: a process that dies meanwhile leaves the old one."""
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        new = self._path.with_name(f"{self._path.name}.new")
        with open(open_private(new, os.O_TRUNC | os.O_WRONLY, self._path.parent), "wb") as file:
            file.writelines(map(_written, entries))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _written(entry: _Entry) -> bytes:
    head, line = entry
    return json.dumps(asdict(head)).encode() + b"\t" + line + b"\n"


def _entry_of(line: bytes, written_ms: int) -> _Entry:
    """Earlier versions wrote no heads; then the file's own age counts."""
    return _split(line) or (_head_of(line, written_ms), line)


def _split(line: bytes) -> _Entry | None:
    """None: it has no head."""
    head, tab, text = line.partition(b"\t")
    try:
        return (_Head(**json.loads(head)), text) if tab else None
    except (ValueError, TypeError, RecursionError):  # a damaged line with a tab
        return None


def _head_of(line: bytes, now_ms: int) -> _Head:
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    found = values if isinstance(values, dict) else {}
    owner, request_id, since = (found.get(name) for name in ("owner", "request_id", "created_ms"))
    return _Head(
        since_ms=since if isinstance(since, int) and not isinstance(since, bool) else now_ms,
        owner=owner if isinstance(owner, str) else None,
        request_id=request_id if isinstance(request_id, str) else None,
    )
