"""Sign-ins of browsers: who presents a session's reference is whoever signed in with its key.

The reference is 256 random bits in a cookie; the store holds its hash. A session says nothing of its own: each request
looks at its key again, so that a revoked or expired key ends it at once.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from ..clock import Clock
from .keyring import Keyring
from .keys import Key, RandomBytes
from .ports import SessionStore

IDLE_MS = 12 * 3600 * 1000
ABSOLUTE_MS = 7 * 24 * 3600 * 1000
# An idle session's end is known to so much: the rest of its uses costs no write.
SEEN_MS = 60_000
_REFERENCE = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """`token` must come with every changing request: another site's page cannot know it."""

    session_id: str
    key: Key
    token: str

    def has_token(self, token: str) -> bool:
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "surrogatepass"))


class Sessions:
    """`secret` signs the tokens; all processes of a service must have the same."""

    def __init__(
        self, store: SessionStore, keyring: Keyring, clock: Clock, random_bytes: RandomBytes, secret: bytes
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._random_bytes = random_bytes
        self._secret = secret

    def begin(self, key: Key, instead_of: str | None) -> str:
        """The reference of a new session. `instead_of`: what the browser presented so far; it is worth nothing then."""
        if instead_of is not None:
            self.end(instead_of)
        reference = self._random_bytes(32).hex()
        self._store.add(_id_of(reference), key.key_id, self._clock.now_ms())
        return reference

    def find(self, reference: str) -> Session | None:
        """None where it is no session, is over, or its key opens nothing any more. Raises `StorageError`."""
        if not _REFERENCE.fullmatch(reference):
            return None
        stored = self._store.find(_id_of(reference))
        if stored is None:
            return None
        now_ms = self._clock.now_ms()
        over = now_ms - stored.seen_ms >= IDLE_MS or now_ms - stored.created_ms >= ABSOLUTE_MS
        key = self._keyring.usable(stored.key)
        if over or not isinstance(key, Key):
            return None
        if now_ms - stored.seen_ms >= SEEN_MS:
            self._store.mark_seen(stored.session_id, now_ms)
        return Session(stored.session_id, key, self._token(stored.session_id))

    def end(self, reference: str) -> None:
        if _REFERENCE.fullmatch(reference):
            self._store.remove(_id_of(reference))

    def prune(self) -> None:
        """Forget what is over."""
        now_ms = self._clock.now_ms()
        self._store.remove_older(created_ms=now_ms - ABSOLUTE_MS, seen_ms=now_ms - IDLE_MS)

    def _token(self, session_id: str) -> str:
        return hmac.new(self._secret, f"csrf:{session_id}".encode(), hashlib.sha256).hexdigest()


def _id_of(reference: str) -> str:
    return hashlib.sha256(reference.encode()).hexdigest()
