"""Making, finding and revoking keys."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..clock import Clock
from ..errors import NotFound
from .caller import UNLIMITED, Allowance, Scope
from .keys import ID_CHARS, Key, RandomBytes, digest_of, make_key, parse_key
from .ports import KeyStore

# How long a key that was good is taken for good without another look: a revocation is felt everywhere within it.
TRUSTED_S = 0.5
MAX_TRUSTED = 1000
MINUTE_MS = 60_000
# For ids that nobody has: the comparison then takes the same time.
_NOBODYS = digest_of("nobody's key")


class Refusal(StrEnum):
    """Why a key opens nothing. For the log: a caller never hears which."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG = "wrong-secret"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Refused:
    """`key_id` where the text had a key's form."""

    reason: Refusal
    key_id: str | None = None


class Keyring:
    """Safe from threads and greenlets. What is remembered for a moment is found by the hash of the whole key."""

    def __init__(self, store: KeyStore, clock: Clock, random_bytes: RandomBytes) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._trusted: dict[bytes, tuple[Key, float]] = {}
        self._used: dict[str, int] = {}

    def make(
        self,
        owner: str,
        scopes: frozenset[Scope],
        *,
        models: frozenset[str] | None = None,
        allowance: Allowance = UNLIMITED,
        expires_ms: int | None = None,
    ) -> tuple[str, Key]:
        """The key itself, which is never to be seen again, and what is kept of it."""
        text, key_id = make_key(self._random_bytes)
        key = Key(key_id, owner, scopes, self._clock.now_ms(), models, allowance, expires_ms)
        self._store.add(key, digest_of(text))
        return text, key

    def find(self, text: str) -> Key | Refused:
        """The usable key that `text` is. Raises `StorageError`."""
        presented = parse_key(text)
        if presented is None:
            return Refused(Refusal.MALFORMED)
        key, until = self._trusted.get(presented.digest, (None, 0.0))
        if key is None or until <= self._clock.monotonic():
            stored = self._store.digest_of(presented.key_id)
            same = hmac.compare_digest(presented.digest, _NOBODYS if stored is None else stored)
            # Nothing else of the key is read before it has been shown: that would take time, and tell that there is one.
            key = self._store.get(presented.key_id) if same else None
            if key is None:
                return Refused(Refusal.UNKNOWN if stored is None else Refusal.WRONG, presented.key_id)
            self._trust(presented.digest, key)
        return self.usable(key)

    def usable(self, key: Key) -> Key | Refused:
        """The key, if it opens anything now; that counts as its use."""
        now_ms = self._clock.now_ms()
        state = key.state(now_ms)
        if state != "usable":
            return Refused(Refusal(state), key.key_id)
        self._used[key.key_id] = now_ms - now_ms % MINUTE_MS
        return key

    def keep_uses(self) -> None:
        """Store when keys were last used, to the minute; wants to be called now and then."""
        used, self._used = self._used, {}
        if used:
            # A copy: whoever began before may still add to it.
            self._store.mark_used(dict(used))

    def all(self) -> Sequence[Key]:
        """Oldest first."""
        return self._store.all()

    def has_usable(self) -> bool:
        now_ms = self._clock.now_ms()
        return any(key.state(now_ms) == "usable" for key in self._store.all())

    def revoke(self, key_id: str) -> Key:
        """The key as it is then; one that was revoked before stays as it was.

        Its sessions end with it. Raises `NotFound`.
        """
        key = self._store.revoke(key_id, self._clock.now_ms())
        if key is None:
            raise NotFound(f"There is no key with the id {key_id[:ID_CHARS]!r}. `flask keys list` shows them.")
        self._trusted = {}
        return key

    def _trust(self, digest: bytes, key: Key) -> None:
        if len(self._trusted) >= MAX_TRUSTED:
            self._trusted = {}
        self._trusted[digest] = (key, self._clock.monotonic() + TRUSTED_S)
