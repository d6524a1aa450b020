"""Stores of keys, sessions and failed logins in dictionaries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llm_service.core.access.keys import Key
from llm_service.core.access.ports import StoredSession


class MemoryKeys:
    """`reads` and `uses` say how often the store was asked, and what it was told."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Key, bytes]] = {}
        self.reads = 0
        self.uses: list[dict[str, int]] = []

    def add(self, key: Key, digest: bytes) -> None:
        self.keys[key.key_id] = key, digest

    def digest_of(self, key_id: str) -> bytes | None:
        self.reads += 1
        return self.keys[key_id][1] if key_id in self.keys else None

    def get(self, key_id: str) -> Key | None:
        return self.keys[key_id][0] if key_id in self.keys else None

    def all(self) -> Sequence[Key]:
        return [key for key, _ in self.keys.values()]

    def revoke(self, key_id: str, now_ms: int) -> Key | None:
        if key_id not in self.keys:
            return None
        key, digest = self.keys[key_id]
        if key.revoked_ms is None:
            key = replace(key, revoked_ms=now_ms)
            self.keys[key_id] = key, digest
        return key

    def mark_used(self, last_used_ms: Mapping[str, int]) -> None:
        self.uses.append(dict(last_used_ms))


class MemorySessions:
    """Keeps sessions by the hash of their reference; their keys are those of `keys`. `writes` counts marks of use."""

    def __init__(self, keys: MemoryKeys) -> None:
        self.keys = keys
        self.rows: dict[str, tuple[str, int, int]] = {}
        self.writes = 0

    def add(self, session_id: str, key_id: str, now_ms: int) -> None:
        self.rows[session_id] = key_id, now_ms, now_ms

    def find(self, session_id: str) -> StoredSession | None:
        if session_id not in self.rows:
            return None
        key_id, created_ms, seen_ms = self.rows[session_id]
        key = self.keys.get(key_id)
        return None if key is None else StoredSession(session_id, key, created_ms, seen_ms)

    def mark_seen(self, session_id: str, now_ms: int) -> None:
        self.writes += 1
        key_id, created_ms, _ = self.rows[session_id]
        self.rows[session_id] = key_id, created_ms, now_ms

    def remove(self, session_id: str) -> None:
        self.rows.pop(session_id, None)

    def remove_older(self, *, created_ms: int, seen_ms: int) -> None:
        self.rows = {
            session_id: (key_id, created, seen)
            for session_id, (key_id, created, seen) in self.rows.items()
            if created >= created_ms and seen >= seen_ms
        }


class MemoryFailedLogins:
    """Counts by address in windows; `writes` says how often it was told of one."""

    def __init__(self) -> None:
        self.windows: dict[str, tuple[int, int]] = {}
        self.writes = 0

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        self.writes += 1
        since_ms, count = self.windows.get(address, (now_ms, 0))
        if since_ms + window_ms <= now_ms:
            since_ms, count = now_ms, 0
        self.windows[address] = since_ms, count + 1
        return self.windows[address]

    def remove_older(self, since_ms: int) -> None:
        self.windows = {address: window for address, window in self.windows.items() if window[0] >= since_ms}
