"""Sessions of browsers: their two ends, their key, and their token."""

import hashlib
import os

import pytest

from llm_service.core.access.caller import Scope
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.keys import Key
from llm_service.core.access.lookups import MAX_LOOKUPS
from llm_service.core.access.ports import StoredSession
from llm_service.core.access.sessions import ABSOLUTE_MS, IDLE_MS, MASK_BYTES, SEEN_INTERVAL_MS, Session, Sessions
from llm_service.core.errors import Overloaded
from tests.support.access import MemoryKeys, MemorySessions
from tests.support.clocks import ManualClock


class SessionServices:
    def __init__(self) -> None:
        self.clock = ManualClock()
        keys = MemoryKeys()
        self.keyring = Keyring(keys, self.clock, os.urandom)
        self.store = MemorySessions(keys)
        self.sessions = self.with_secret(b"s" * 32)
        self.key = self.make_key()

    def with_secret(self, secret: bytes) -> Sessions:
        return Sessions(self.store, self.keyring, self.clock, os.urandom, secret)

    def make_key(self, expires_ms: int | None = None) -> Key:
        return self.keyring.make("ci", frozenset({Scope.GENERATE}), expires_ms=expires_ms)[1]

    def found(self, reference: str) -> Session:
        session = self.sessions.find(reference)
        assert session is not None
        return session


@pytest.fixture(name="services")
def _services() -> SessionServices:
    return SessionServices()


def test_a_session_is_found_by_its_reference_and_stored_as_its_hash(services: SessionServices) -> None:
    reference = services.sessions.begin(services.key, None)
    assert services.found(reference).key == services.key
    assert list(services.store.rows) == [hashlib.sha256(reference.encode()).hexdigest()]
    assert len({services.sessions.begin(services.key, None) for _ in range(100)}) == 100


def test_it_ends_when_it_was_idle_too_long(services: SessionServices) -> None:
    reference = services.sessions.begin(services.key, None)
    services.clock.ms += IDLE_MS - 1
    services.found(reference)
    services.clock.ms += IDLE_MS - 1
    services.found(reference)
    services.clock.ms += IDLE_MS
    assert services.sessions.find(reference) is None


def test_it_ends_after_its_time_however_busy_it_is(services: SessionServices) -> None:
    reference = services.sessions.begin(services.key, None)
    end_ms = services.clock.ms + ABSOLUTE_MS
    while services.clock.ms < end_ms:
        services.found(reference)
        services.clock.ms += IDLE_MS // 2
    assert services.sessions.find(reference) is None


def test_a_use_is_written_once_a_minute(services: SessionServices) -> None:
    reference = services.sessions.begin(services.key, None)
    for _ in range(4):
        services.clock.ms += SEEN_INTERVAL_MS // 2
        for _ in range(10):
            services.found(reference)
    assert services.store.writes == 2


def test_a_new_session_ends_the_one_that_the_browser_had(services: SessionServices) -> None:
    first = services.sessions.begin(services.key, None)
    second = services.sessions.begin(services.key, first)
    assert services.sessions.find(first) is None
    services.found(second)
    services.sessions.end(second)
    assert services.sessions.find(second) is None


def test_it_opens_nothing_that_its_key_does_not_open(services: SessionServices) -> None:
    short_key = services.make_key(expires_ms=services.clock.ms + 1000)
    short, revoked = (services.sessions.begin(key, None) for key in (short_key, services.key))
    services.clock.ms += 1000
    assert services.sessions.find(short) is None
    services.keyring.revoke(services.key.key_id)
    assert services.sessions.find(revoked) is None


@pytest.mark.parametrize("reference", ["", "0" * 63, "0" * 65, "G" * 64, "\0" * 64, "é" * 64, "a" * 9999])
def test_nonsense_is_not_looked_up(services: SessionServices, reference: str) -> None:
    assert services.sessions.find(reference) is None
    services.sessions.begin(services.key, reference)
    assert len(services.store.rows) == 1


def test_a_token_belongs_to_one_session_and_one_secret(services: SessionServices) -> None:
    first, second = (services.sessions.begin(services.key, None) for _ in range(2))
    token = services.found(first).token
    assert services.found(first).has_token(token)
    assert not services.found(second).has_token(token)
    assert [
        wrong for wrong in ("", token[:-1], token + "0", "é", "\ud800") if services.found(first).has_token(wrong)
    ] == []
    elsewhere = services.with_secret(b"t" * 32).find(first)
    assert elsewhere is not None
    assert not elsewhere.has_token(token)


def test_a_masked_token_differs_and_is_of_one_session(services: SessionServices) -> None:
    first, second = (services.found(services.sessions.begin(services.key, None)) for _ in range(2))
    masked = {first.masked_token(os.urandom(MASK_BYTES)) for _ in range(100)}
    assert len({text[:64] for text in masked}) == len({text[64:] for text in masked}) == 100
    assert first.token not in "".join(masked)
    for text in masked:
        assert first.has_token(text)
        assert not second.has_token(text)
        assert not any(first.has_token(wrong) for wrong in (text[1:], text + "0", text[:64], text.upper()))


def test_what_is_over_is_forgotten(services: SessionServices) -> None:
    services.sessions.begin(services.key, None)
    services.clock.ms += IDLE_MS
    services.sessions.prune()
    assert len(services.store.rows) == 1, "it was over only now"
    services.clock.ms += 1
    services.sessions.prune()
    assert services.store.rows == {}


def test_of_unknown_sessions_few_are_looked_up_at_once_and_known_ones_always(services: SessionServices) -> None:
    known = services.sessions.begin(services.key, None)
    services.found(known)
    outcomes: list[str] = []

    class Slow(MemorySessions):
        """Each lookup is in progress while the next one begins."""

        def find(self, session_id: str) -> StoredSession | None:
            if session_id not in self.rows and len(outcomes) < 2 * MAX_LOOKUPS:
                outcomes.append("looked up")
                try:
                    sessions.find("a" * 64)
                except Overloaded:
                    outcomes.append("refused")
                    assert sessions.find(known) is not None
            return super().find(session_id)

    slow = Slow(services.store.keys)
    slow.rows = services.store.rows
    services.store = slow
    sessions = services.with_secret(b"s" * 32)
    assert sessions.find(known) is not None
    assert sessions.find("a" * 64) is None
    assert outcomes == ["looked up"] * MAX_LOOKUPS + ["refused"]
