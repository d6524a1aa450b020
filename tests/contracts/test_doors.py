"""Keys, sessions and attempts over time, with a real store and a clock that is set by hand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.failed_logins import SqlFailedLogins
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.access.caller import Scope
from llm_service.core.access.failed_logins import FailedLoginThrottle, network_of
from llm_service.core.access.keyring import KeyRejection, Keyring, RejectedKey
from llm_service.core.access.keys import Key, with_checksum
from llm_service.core.access.sessions import Session, Sessions
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import NotFound
from tests.support.builders import answer
from tests.support.clocks import ManualClock

HOUR_MS = 3_600_000
ANSWER = answer()
SCOPES = frozenset({Scope.GENERATE})


class Doors:
    """One process of the service; several may share a database."""

    def __init__(self, database: Database, clock: ManualClock, secret: bytes = b"s" * 32) -> None:
        self.clock = clock
        self.keyring = Keyring(SqlKeys(database), clock, os.urandom)
        self.sessions = Sessions(SqlSessions(database), self.keyring, clock, os.urandom, secret)
        self.attempts = FailedLoginThrottle(SqlFailedLogins(database), clock)


@pytest.fixture(name="database")
def _database(new_database: Callable[[], Database]) -> Iterator[Database]:
    database = new_database()
    yield database
    database.close()


@pytest.fixture(name="doors")
def _doors(database: Database) -> Doors:
    return Doors(database, ManualClock())


def refused(doors: Doors, text: str) -> KeyRejection:
    found = doors.keyring.find(text)
    assert isinstance(found, RejectedKey)
    return found.reason


def test_a_key_is_found_until_it_expires(doors: Doors) -> None:
    text, key = doors.keyring.make("ci", SCOPES, expires_ms=doors.clock.ms + 1000)
    assert doors.keyring.find(text) == key
    assert doors.keyring.has_usable_key()
    doors.clock.ms += 999
    assert doors.keyring.find(text) == key
    doors.clock.ms += 1
    assert refused(doors, text) is KeyRejection.EXPIRED
    assert not doors.keyring.has_usable_key()


def test_each_reason_is_known_for_the_log(doors: Doors) -> None:
    text, key = doors.keyring.make("ci", SCOPES)
    other, other_key = doors.keyring.make("ci", SCOPES)
    assert refused(doors, "nonsense") is KeyRejection.MALFORMED
    assert refused(doors, text[:-1] + ("0" if text[-1] != "0" else "1")) is KeyRejection.MALFORMED
    swapped = with_checksum(text[:18] + other[18:-6])
    assert refused(doors, swapped) is KeyRejection.WRONG
    assert refused(doors, with_checksum("llms_" + "0" * 12 + text[17:-6])) is KeyRejection.UNKNOWN
    doors.keyring.revoke(other_key.key_id)
    assert refused(doors, other) is KeyRejection.REVOKED
    assert doors.keyring.find(text) == key


def test_a_revocation_elsewhere_is_felt_within_half_a_second(database: Database) -> None:
    clock = ManualClock()
    here, there = Doors(database, clock), Doors(database, clock)
    text, key = here.keyring.make("ci", SCOPES)
    assert isinstance(there.keyring.find(text), Key)
    here.keyring.revoke(key.key_id)
    assert refused(here, text) is KeyRejection.REVOKED, "at once where it was revoked"
    clock.ms += 500
    assert refused(there, text) is KeyRejection.REVOKED


def test_what_is_remembered_is_found_by_the_whole_key(doors: Doors) -> None:
    """CVE-2026-35030: a cache by the beginning of a key lets another in."""
    text, _ = doors.keyring.make("ci", SCOPES)
    assert isinstance(doors.keyring.find(text), Key)
    for position in (17, 40, 59):
        other = "x" if text[position] != "x" else "y"
        assert refused(doors, with_checksum(text[:position] + other + text[position + 1 : -6])) in (
            KeyRejection.WRONG,
            KeyRejection.MALFORMED,
        )


def test_the_last_use_is_kept_to_the_minute(doors: Doors) -> None:
    text, _ = doors.keyring.make("ci", SCOPES)
    doors.clock.ms += 90_123
    doors.keyring.find(text)
    assert doors.keyring.all()[0].last_used_ms is None, "no write for a request"
    doors.keyring.save_last_used()
    assert doors.keyring.all()[0].last_used_ms == doors.clock.ms - doors.clock.ms % 60_000
    doors.keyring.save_last_used()


def test_revoking_what_is_not_there(doors: Doors) -> None:
    with pytest.raises(NotFound):
        doors.keyring.revoke("nope")


def begin(doors: Doors, instead_of: str | None = None) -> str:
    _, key = doors.keyring.make("ci", SCOPES)
    return doors.sessions.begin(key, instead_of)


def test_a_session_ends_when_it_was_idle_too_long(doors: Doors) -> None:
    reference = begin(doors)
    for _ in range(3):
        doors.clock.ms += 12 * HOUR_MS - 1
        assert doors.sessions.find(reference) is not None, "each use begins the time anew"
    doors.clock.ms += 12 * HOUR_MS
    assert doors.sessions.find(reference) is None


def test_a_session_ends_after_seven_days_whatever_happens(doors: Doors) -> None:
    reference = begin(doors)
    until_ms = doors.clock.ms + 7 * DAY_MS
    while doors.clock.ms + 10 * HOUR_MS < until_ms:
        doors.clock.ms += 10 * HOUR_MS
        assert doors.sessions.find(reference) is not None
    doors.clock.ms = until_ms
    assert doors.sessions.find(reference) is None


def test_a_new_sign_in_ends_the_old_session(doors: Doors) -> None:
    first = begin(doors)
    second = begin(doors, instead_of=first)
    assert first != second
    assert doors.sessions.find(first) is None
    assert doors.sessions.find(second) is not None


def test_a_session_is_worth_what_its_key_is(doors: Doors) -> None:
    _, key = doors.keyring.make("ci", SCOPES, expires_ms=doors.clock.ms + HOUR_MS)
    reference = doors.sessions.begin(key, None)
    doors.clock.ms += HOUR_MS
    assert doors.sessions.find(reference) is None
    _, key = doors.keyring.make("ci", SCOPES)
    reference = doors.sessions.begin(key, None)
    doors.keyring.revoke(key.key_id)
    assert doors.sessions.find(reference) is None


@pytest.mark.parametrize(
    "reference", ["", "x", "0" * 63, "0" * 64, "0" * 65, "G" * 64, "a" * 8192, "\0" * 64, "é" * 64]
)
def test_nonsense_is_no_session(doors: Doors, reference: str) -> None:
    assert doors.sessions.find(reference) is None
    doors.sessions.end(reference)


def found(doors: Doors, reference: str) -> Session:
    session = doors.sessions.find(reference)
    assert session is not None
    return session


def test_tokens_are_of_one_session_and_one_secret(database: Database, doors: Doors) -> None:
    first, second = begin(doors), begin(doors)
    token = found(doors, first).token
    assert found(doors, first).has_token(token)
    assert not found(doors, second).has_token(token)
    assert not any(found(doors, first).has_token(wrong) for wrong in ("", token[:-1], token + "0", "é", "\ud800"))
    other = Doors(database, doors.clock, b"t" * 32)
    assert not found(other, first).has_token(token)


def test_the_store_holds_no_reference_and_no_key(tmp_path: Path, database: Database, doors: Doors) -> None:
    text, key = doors.keyring.make("ci", SCOPES)
    reference = doors.sessions.begin(key, None)
    database.truncate_log()
    stored = (tmp_path / "new.db").read_bytes()
    assert key.key_id.encode() in stored
    for secret in (text, text[18:61], reference):
        assert secret.encode() not in stored


def test_five_wrong_keys_in_a_minute_are_borne(database: Database, doors: Doors) -> None:
    waits = [doors.attempts.record_failure("10.0.0.1") for _ in range(7)]
    assert waits[:5] == [None] * 5
    assert waits[5:] == [60.0, 60.0]
    doors.clock.ms += 20_000
    assert doors.attempts.record_failure("10.0.0.1") == 40.0
    assert doors.attempts.record_failure("10.0.0.2") is None
    # Another process has heard of it.
    assert Doors(database, doors.clock).attempts.record_failure("10.0.0.1") == 40.0
    doors.clock.ms += 40_000
    assert doors.attempts.record_failure("10.0.0.1") is None
    doors.attempts.prune()


class Counted(SqlFailedLogins):
    writes = 0

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        self.writes += 1
        return super().count(address, now_ms, window_ms)


def test_a_flood_costs_no_writes(database: Database) -> None:
    store = Counted(database)
    attempts = FailedLoginThrottle(store, ManualClock())
    assert [attempts.record_failure("10.0.0.1") for _ in range(1000)].count(None) == 5
    assert store.writes == 6


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("x" * 10_000, "unknown"),
    ],
)
def test_networks(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_a_cache_is_cleared_in_every_process_once(database: Database) -> None:
    here, there = (
        MemoryCache(ttl_s=60, max_entries=10, max_bytes=10_000_000, epochs=SqlEpochs(database)) for _ in range(2)
    )
    for cache in (here, there):
        cache.put("a", ANSWER)
    assert here.clear() == 1
    assert there.stats().entries == 1
    there.poll()
    assert there.stats().entries == 0
    there.put("a", ANSWER)
    there.poll()
    assert there.stats().entries == 1, "what came later stays"
