"""Creates, checks and revokes keys."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..clock import MINUTE_MS, Clock
from ..errors import NotFound
from ..wake_ups import ANY, NoWakeUps, Topic, WakeUps
from .caller import UNLIMITED, Allowance, Scope
from .key_watch import KeyWatches
from .keys import ID_CHARS, Key, ParsedKey, RandomBytes, digest_of, make_key, parse_key
from .lookups import LookupLimit, SharedLookups
from .ports import KeyStore

# How long a valid key is trusted without another look at the store: a revocation takes at most that long to work
# in every process.
TRUSTED_S = 0.5
MAX_TRUSTED = 1000
# Compared with where a key's id is unknown: that takes the same time as for a known one.
_DUMMY_DIGEST = digest_of("no key")


class KeyRejection(StrEnum):
    """Why a key is rejected. For the log only: callers get the same answer for each."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG = "wrong-secret"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RejectedKey:
    """`key_id` is None where the text does not have the form of a key."""

    reason: KeyRejection
    key_id: str | None = None


class Keyring:
    """Thread-safe. Trusted keys are held in memory by the hash of the whole key."""

    def __init__(
        self, store: KeyStore, clock: Clock, random_bytes: RandomBytes, wake_ups: WakeUps | None = None
    ) -> None:
        """`wake_ups` None = other processes find out about changes by themselves."""
        self._wake_ups = wake_ups or NoWakeUps()
        self._wake_ups.on(Topic.KEYS, self.forget_trusted)
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._trusted: dict[bytes, tuple[Key, float]] = {}
        self._shared = SharedLookups[Key | RejectedKey]()
        self._used: dict[str, int] = {}
        self._lookups = LookupLimit()
        self.watches = KeyWatches(store, clock)

    def make(
        self,
        owner: str,
        scopes: frozenset[Scope],
        *,
        models: frozenset[str] | None = None,
        allowance: Allowance = UNLIMITED,
        expires_ms: int | None = None,
    ) -> tuple[str, Key]:
        """Create a key. Returns its text, which cannot be had again, and what is stored of it."""
        text, key_id = make_key(self._random_bytes)
        key = Key(key_id, owner, scopes, self._clock.now_ms(), models, allowance, expires_ms)
        self._store.add(key, digest_of(text))
        self._wake_ups.send(Topic.KEYS)
        return text, key

    def add(self, text: str, owner: str, scopes: frozenset[Scope]) -> None:
        """Store a valid key that was made elsewhere. One that is stored already stays as it is."""
        parsed = parse_key(text)
        assert parsed is not None
        self._store.add(Key(parsed.key_id, owner, scopes, self._clock.now_ms()), parsed.digest)

    def find(self, text: str) -> Key | RejectedKey:
        """The usable key with this text. Raises `StorageError`, and `Overloaded` while many unknown keys are checked."""
        parsed = parse_key(text)
        if parsed is None:
            return RejectedKey(KeyRejection.MALFORMED)
        # The same all the time: what is read now must not be trusted after `forget_trusted`.
        trusted, shared = self._trusted, self._shared
        key, until = trusted.get(parsed.digest, (None, 0.0))
        if key is not None and until > self._clock.monotonic():
            return self.check(key)
        is_known = key is not None
        found = shared.get(parsed.digest, lambda: self._look_up(parsed, trusted, is_known=is_known))
        return found if isinstance(found, RejectedKey) else self.check(found)

    def check(self, key: Key) -> Key | RejectedKey:
        """Reject a revoked or expired key, and note the use of any other."""
        now_ms = self._clock.now_ms()
        state = key.state(now_ms)
        if state != "usable":
            return RejectedKey(KeyRejection(state), key.key_id)
        self._used[key.key_id] = now_ms - now_ms % MINUTE_MS
        return key

    def save_last_used(self) -> None:
        """Store when keys were last used, to the minute. Must be called from time to time."""
        used, self._used = self._used, {}
        if used:
            # A copy: a request that began earlier may still add to it.
            self._store.mark_used(dict(used))

    def all(self) -> Sequence[Key]:
        """Oldest first."""
        return self._store.all()

    def has_usable_key(self) -> bool:
        now_ms = self._clock.now_ms()
        return any(key.state(now_ms) == "usable" for key in self._store.all())

    def revoke(self, key_id: str) -> Key:
        """Revoke a key and end its sessions. Returns it; one that was revoked before is unchanged.

        Raises `NotFound`.
        """
        key = self._store.revoke(key_id, self._clock.now_ms())
        if key is None:
            raise NotFound(f"No key has the id {key_id[:ID_CHARS]!r}. `flask keys list` shows all keys.")
        self.forget_trusted()
        self._wake_ups.send(Topic.KEYS)
        return key

    def forget_trusted(self, about: str = ANY) -> None:
        """Look at the store again for every key."""
        self._trusted, self._shared = {}, SharedLookups()

    def _look_up(
        self, parsed: ParsedKey, trusted: dict[bytes, tuple[Key, float]], *, is_known: bool
    ) -> Key | RejectedKey:
        stored = self._stored_digest(parsed.key_id, is_known=is_known)
        same = hmac.compare_digest(parsed.digest, _DUMMY_DIGEST if stored is None else stored)
        # The rest is read only after the secret matched: the time it takes would reveal that the id exists.
        key = self._store.get(parsed.key_id) if same else None
        if key is None:
            return RejectedKey(KeyRejection.UNKNOWN if stored is None else KeyRejection.WRONG, parsed.key_id)
        self._trust(trusted, parsed.digest, key)
        return key

    def _stored_digest(self, key_id: str, *, is_known: bool) -> bytes | None:
        if is_known:
            return self._store.digest_of(key_id)
        with self._lookups.one_more():
            return self._store.digest_of(key_id)

    def _trust(self, trusted: dict[bytes, tuple[Key, float]], digest: bytes, key: Key) -> None:
        if len(trusted) >= MAX_TRUSTED:
            trusted.clear()
        trusted[digest] = (key, self._clock.monotonic() + TRUSTED_S)
