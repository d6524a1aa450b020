"""Sessions of browsers: their two ends, their key, and their token."""

import hashlib
import os

import pytest

from llm_service.core.access.caller import Scope
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.keys import Key
from llm_service.core.access.lookups import MAX_LOOKUPS
from llm_service.core.access.ports import StoredSession
from llm_service.core.access.sessions import ABSOLUTE_MS, IDLE_MS, SEEN_INTERVAL_MS, Session, Sessions
from llm_service.core.errors import Overloaded
from tests.support.access import MemoryKeys, MemorySessions
from tests.support.clocks import ManualClock


class House:
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


@pytest.fixture(name="house")
def _house() -> House:
    return House()


def test_a_session_is_found_by_its_reference_and_stored_as_its_hash(house: House) -> None:
    reference = house.sessions.begin(house.key, None)
    assert house.found(reference).key == house.key
    assert list(house.store.rows) == [hashlib.sha256(reference.encode()).hexdigest()]
    assert len({house.sessions.begin(house.key, None) for _ in range(100)}) == 100


def test_it_ends_when_it_was_idle_too_long(house: House) -> None:
    reference = house.sessions.begin(house.key, None)
    house.clock.ms += IDLE_MS - 1
    house.found(reference)
    house.clock.ms += IDLE_MS - 1
    house.found(reference)
    house.clock.ms += IDLE_MS
    assert house.sessions.find(reference) is None


def test_it_ends_after_its_time_however_busy_it_is(house: House) -> None:
    reference = house.sessions.begin(house.key, None)
    end_ms = house.clock.ms + ABSOLUTE_MS
    while house.clock.ms < end_ms:
        house.found(reference)
        house.clock.ms += IDLE_MS // 2
    assert house.sessions.find(reference) is None


def test_a_use_is_written_once_a_minute(house: House) -> None:
    reference = house.sessions.begin(house.key, None)
    for _ in range(4):
        house.clock.ms += SEEN_INTERVAL_MS // 2
        for _ in range(10):
            house.found(reference)
    assert house.store.writes == 2


def test_a_new_session_ends_the_one_that_the_browser_had(house: House) -> None:
    first = house.sessions.begin(house.key, None)
    second = house.sessions.begin(house.key, first)
    assert house.sessions.find(first) is None
    house.found(second)
    house.sessions.end(second)
    assert house.sessions.find(second) is None


def test_it_opens_nothing_that_its_key_does_not_open(house: House) -> None:
    short_key = house.make_key(expires_ms=house.clock.ms + 1000)
    short, revoked = (house.sessions.begin(key, None) for key in (short_key, house.key))
    house.clock.ms += 1000
    assert house.sessions.find(short) is None
    house.keyring.revoke(house.key.key_id)
    assert house.sessions.find(revoked) is None


@pytest.mark.parametrize("reference", ["", "0" * 63, "0" * 65, "G" * 64, "\0" * 64, "é" * 64, "a" * 9999])
def test_nonsense_is_not_looked_up(house: House, reference: str) -> None:
    assert house.sessions.find(reference) is None
    house.sessions.begin(house.key, reference)
    assert len(house.store.rows) == 1


def test_a_token_belongs_to_one_session_and_one_secret(house: House) -> None:
    first, second = (house.sessions.begin(house.key, None) for _ in range(2))
    token = house.found(first).token
    assert house.found(first).has_token(token)
    assert not house.found(second).has_token(token)
    assert [
        wrong for wrong in ("", token[:-1], token + "0", "é", "\ud800") if house.found(first).has_token(wrong)
    ] == []
    elsewhere = house.with_secret(b"t" * 32).find(first)
    assert elsewhere is not None
    assert not elsewhere.has_token(token)


def test_what_is_over_is_forgotten(house: House) -> None:
    house.sessions.begin(house.key, None)
    house.clock.ms += IDLE_MS
    house.sessions.prune()
    assert len(house.store.rows) == 1, "it was over only now"
    house.clock.ms += 1
    house.sessions.prune()
    assert house.store.rows == {}


def test_of_unknown_sessions_few_are_looked_up_at_once_and_known_ones_always(house: House) -> None:
    known = house.sessions.begin(house.key, None)
    house.found(known)
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

    slow = Slow(house.store.keys)
    slow.rows = house.store.rows
    house.store = slow
    sessions = house.with_secret(b"s" * 32)
    assert sessions.find(known) is not None
    assert sessions.find("a" * 64) is None
    assert outcomes == ["looked up"] * MAX_LOOKUPS + ["refused"]
