"""What keys, sessions and the throttle of failed logins need from the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .keys import Key


class KeyStore(Protocol):
    """The keys that were made. When a method returns, its change is durable and seen by every process.

    All raise `StorageError`.
    """

    def add(self, key: Key, digest: bytes) -> None: ...

    def digest_of(self, key_id: str) -> bytes | None:
        """The SHA-256 of the whole key. It takes as long where there is none, as nearly as can be."""
        ...

    def get(self, key_id: str) -> Key | None:
        """Revoked and expired ones too."""
        ...

    def all(self) -> Sequence[Key]:
        """Oldest first."""
        ...

    def revoke(self, key_id: str, now_ms: int) -> Key | None:
        """The key as it is then, its sessions removed; one that was revoked before stays as it was. None = no such key."""
        ...

    def mark_used(self, last_used_ms: Mapping[str, int]) -> None:
        """By key_id; a time never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class StoredSession:
    """`session_id` is the hash of what the browser has; the key is as it is now."""

    session_id: str
    key: Key
    created_ms: int
    seen_ms: int


class SessionStore(Protocol):
    """Sign-ins of browsers, each with its key. All methods raise `StorageError`."""

    def add(self, session_id: str, key_id: str, now_ms: int) -> None: ...

    def find(self, session_id: str) -> StoredSession | None: ...

    def mark_seen(self, session_id: str, now_ms: int) -> None: ...

    def remove(self, session_id: str) -> None: ...

    def remove_older(self, *, created_ms: int, seen_ms: int) -> None:
        """What was created, or last seen, before."""
        ...


class FailedLoginStore(Protocol):
    """Wrong keys by address. All methods raise `StorageError`."""

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        """One more; when the address's window began (it lasts `window_ms`), and how many it has now."""
        ...

    def remove_older(self, since_ms: int) -> None:
        """Windows that began before."""
        ...
