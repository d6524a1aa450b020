"""Browser sessions.

A session's reference is 256 random bits in a cookie; the store holds its hash. Each request checks the session's key
again, so a session ends as soon as its key is revoked or expires.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from ..clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock
from .keyring import Keyring
from .keys import Key, RandomBytes
from .lookups import LookupLimit
from .ports import SessionStore, StoredSession

IDLE_MS = 12 * HOUR_MS
ABSOLUTE_MS = 7 * DAY_MS
# How precisely the last use is stored: more would cost a write for each request.
SEEN_INTERVAL_MS = MINUTE_MS
MAX_KNOWN = 1000
# As long as a token.
MASK_BYTES = 32
_REFERENCE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MASKED = re.compile(r"[0-9a-f]{128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """`token` is the CSRF token: every changing request must send it."""

    session_id: str
    key: Key
    token: str

    def masked_token(self, mask: bytes) -> str:
        """Different in each response that has a mask of its own, so the lengths of compressed pages do not tell it."""
        return mask.hex() + _xor(bytes.fromhex(self.token), mask).hex()

    def has_token(self, token: str) -> bool:
        """Masked or not."""
        if _MASKED.fullmatch(token):
            both = bytes.fromhex(token)
            token = _xor(both[:MASK_BYTES], both[MASK_BYTES:]).hex()
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "surrogatepass"))


class Sessions:
    """`secret` signs the CSRF tokens; all processes of a service need the same one."""

    def __init__(
        self, store: SessionStore, keyring: Keyring, clock: Clock, random_bytes: RandomBytes, secret: bytes
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._random_bytes = random_bytes
        self._secret = secret
        self._known: set[str] = set()
        self._lookups = LookupLimit()

    def begin(self, key: Key, instead_of: str | None) -> str:
        """Create a session and return its reference. `instead_of`: the browser's old reference, whose session ends."""
        if instead_of is not None:
            self.end(instead_of)
        reference = self._random_bytes(32).hex()
        self._store.add(_id_of(reference), key.key_id, self._clock.now_ms())
        return reference

    def find(self, reference: str) -> Session | None:
        """None if there is no such session, it has ended, or its key is no longer usable.

        Raises `StorageError`, and `Overloaded` while many unknown sessions are looked up.
        """
        if not _REFERENCE.fullmatch(reference):
            return None
        stored = self._stored(_id_of(reference))
        if stored is None:
            return None
        now_ms = self._clock.now_ms()
        ended = now_ms - stored.seen_ms >= IDLE_MS or now_ms - stored.created_ms >= ABSOLUTE_MS
        key = self._keyring.check(stored.key)
        if ended or not isinstance(key, Key):
            return None
        self._remember(stored.session_id)
        if now_ms - stored.seen_ms >= SEEN_INTERVAL_MS:
            self._store.mark_seen(stored.session_id, now_ms)
        return Session(stored.session_id, key, self._token(stored.session_id))

    def end(self, reference: str) -> None:
        if _REFERENCE.fullmatch(reference):
            self._store.remove(_id_of(reference))

    def prune(self) -> None:
        """Delete ended sessions."""
        now_ms = self._clock.now_ms()
        self._store.remove_older(created_ms=now_ms - ABSOLUTE_MS, seen_ms=now_ms - IDLE_MS)

    def _stored(self, session_id: str) -> StoredSession | None:
        if session_id in self._known:
            return self._store.find(session_id)
        with self._lookups.one_more():
            return self._store.find(session_id)

    def _remember(self, session_id: str) -> None:
        """Only that it was valid once: each request looks it up again."""
        if len(self._known) >= MAX_KNOWN:
            self._known = set()
        self._known.add(session_id)

    def _token(self, session_id: str) -> str:
        return hmac.new(self._secret, f"csrf:{session_id}".encode(), hashlib.sha256).hexdigest()


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(first, second, strict=True))


def _id_of(reference: str) -> str:
    return hashlib.sha256(reference.encode()).hexdigest()
