"""Storage for keys, sessions and failed logins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .keys import Key


class KeyStore(Protocol):
    """All keys. When a method returns, its change is durable and visible to every process.

    All methods raise `StorageError`.
    """

    def add(self, key: Key, digest: bytes) -> None:
        """A key with this id that is there already stays as it is."""
        ...

    def digest_of(self, key_id: str) -> bytes | None:
        """The SHA-256 of the whole key; None = no such key, which should take the same time to find out."""
        ...

    def get(self, key_id: str) -> Key | None:
        """Also if it is revoked or expired."""
        ...

    def all(self) -> Sequence[Key]:
        """Oldest first."""
        ...

    def revoke(self, key_id: str, now_ms: int) -> Key | None:
        """Revoke a key and remove its sessions. Returns it; one that was revoked before is unchanged. None = no such key."""
        ...

    def mark_used(self, last_used_ms: Mapping[str, int]) -> None:
        """Times by key id; an earlier time changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class StoredSession:
    """`session_id` is the hash of the reference in the browser's cookie; `key` is current."""

    session_id: str
    key: Key
    created_ms: int
    seen_ms: int


class SessionStore(Protocol):
    """Browser sessions, each with its key. All methods raise `StorageError`."""

    def add(self, session_id: str, key_id: str, now_ms: int) -> None: ...

    def find(self, session_id: str) -> StoredSession | None: ...

    def mark_seen(self, session_id: str, now_ms: int) -> None: ...

    def remove(self, session_id: str) -> None: ...

    def remove_older(self, *, created_ms: int, seen_ms: int) -> None:
        """Remove sessions created or last seen before these times."""
        ...


class FailedLoginStore(Protocol):
    """Invalid keys by client address. All methods raise `StorageError`."""

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        """Count one more. Returns when the address's window began (it lasts `window_ms`) and its new count."""
        ...

    def remove_older(self, since_ms: int) -> None:
        """Remove windows that began before."""
        ...
