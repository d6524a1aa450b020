"""Keys, sessions and failed logins over time, with a real store and a clock that is set by hand."""

import os
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Table, select

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.failed_logins import SqlFailedLogins
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.adapters.sql.tables import keys, sessions
from llm_service.core.access.caller import Scope
from llm_service.core.access.failed_logins import FailedLoginThrottle, network_of
from llm_service.core.access.keyring import KeyRejection, Keyring, RejectedKey
from llm_service.core.access.keys import Key, with_checksum
from llm_service.core.access.sessions import Session, Sessions
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import NotFound
from tests.support.builders import answer
from tests.support.clocks import ManualClock
from tests.support.constants import ENGINES

HOUR_MS = 3_600_000
ANSWER = answer()
SCOPES = frozenset({Scope.GENERATE})


class AccessServices:
    """One process of the service; several may share a database."""

    def __init__(self, database: Database, clock: ManualClock, secret: bytes = b"s" * 32) -> None:
        self.clock = clock
        self.keyring = Keyring(SqlKeys(database), clock, os.urandom)
        self.sessions = Sessions(SqlSessions(database), self.keyring, clock, os.urandom, secret)
        self.failed_logins = FailedLoginThrottle(SqlFailedLogins(database), clock)


@pytest.fixture(name="database", params=ENGINES)
def _database(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[Database]:
    database = new_database_of(request.param)
    yield database
    database.close()


@pytest.fixture(name="access")
def _access(database: Database) -> AccessServices:
    return AccessServices(database, ManualClock())


def refused(access: AccessServices, text: str) -> KeyRejection:
    found = access.keyring.find(text)
    assert isinstance(found, RejectedKey)
    return found.reason


def test_a_key_is_found_until_it_expires(access: AccessServices) -> None:
    text, key = access.keyring.make("ci", SCOPES, expires_ms=access.clock.ms + 1000)
    assert access.keyring.find(text) == key
    assert access.keyring.has_usable_key()
    access.clock.ms += 999
    assert access.keyring.find(text) == key
    access.clock.ms += 1
    assert refused(access, text) is KeyRejection.EXPIRED
    assert not access.keyring.has_usable_key()


def test_each_reason_is_known_for_the_log(access: AccessServices) -> None:
    text, key = access.keyring.make("ci", SCOPES)
    other, other_key = access.keyring.make("ci", SCOPES)
    assert refused(access, "nonsense") is KeyRejection.MALFORMED
    assert refused(access, text[:-1] + ("0" if text[-1] != "0" else "1")) is KeyRejection.MALFORMED
    swapped = with_checksum(text[:18] + other[18:-6])
    assert refused(access, swapped) is KeyRejection.WRONG
    assert refused(access, with_checksum("llms_" + "0" * 12 + text[17:-6])) is KeyRejection.UNKNOWN
    access.keyring.revoke(other_key.key_id)
    assert refused(access, other) is KeyRejection.REVOKED
    assert access.keyring.find(text) == key


def test_a_revocation_elsewhere_is_felt_within_half_a_second(database: Database) -> None:
    clock = ManualClock()
    here, there = AccessServices(database, clock), AccessServices(database, clock)
    text, key = here.keyring.make("ci", SCOPES)
    assert isinstance(there.keyring.find(text), Key)
    here.keyring.revoke(key.key_id)
    assert refused(here, text) is KeyRejection.REVOKED, "at once where it was revoked"
    clock.ms += 500
    assert refused(there, text) is KeyRejection.REVOKED


def test_what_is_remembered_is_found_by_the_whole_key(access: AccessServices) -> None:
    """CVE-2026-35030: a cache by the beginning of a key lets another in."""
    text, _ = access.keyring.make("ci", SCOPES)
    assert isinstance(access.keyring.find(text), Key)
    for position in (17, 40, 59):
        other = "x" if text[position] != "x" else "y"
        assert refused(access, with_checksum(text[:position] + other + text[position + 1 : -6])) in (
            KeyRejection.WRONG,
            KeyRejection.MALFORMED,
        )


def test_the_last_use_is_kept_to_the_minute(access: AccessServices) -> None:
    text, _ = access.keyring.make("ci", SCOPES)
    access.clock.ms += 90_123
    access.keyring.find(text)
    assert access.keyring.all()[0].last_used_ms is None, "no write for a request"
    access.keyring.save_last_used()
    assert access.keyring.all()[0].last_used_ms == access.clock.ms - access.clock.ms % 60_000
    access.keyring.save_last_used()


def test_revoking_what_is_not_there(access: AccessServices) -> None:
    with pytest.raises(NotFound):
        access.keyring.revoke("nope")


def begin(access: AccessServices, instead_of: str | None = None) -> str:
    _, key = access.keyring.make("ci", SCOPES)
    return access.sessions.begin(key, instead_of)


def test_a_session_ends_when_it_was_idle_too_long(access: AccessServices) -> None:
    reference = begin(access)
    for _ in range(3):
        access.clock.ms += 12 * HOUR_MS - 1
        assert access.sessions.find(reference) is not None, "each use begins the time anew"
    access.clock.ms += 12 * HOUR_MS
    assert access.sessions.find(reference) is None


def test_a_session_ends_after_seven_days_whatever_happens(access: AccessServices) -> None:
    reference = begin(access)
    until_ms = access.clock.ms + 7 * DAY_MS
    while access.clock.ms + 10 * HOUR_MS < until_ms:
        access.clock.ms += 10 * HOUR_MS
        assert access.sessions.find(reference) is not None
    access.clock.ms = until_ms
    assert access.sessions.find(reference) is None


def test_a_new_sign_in_ends_the_old_session(access: AccessServices) -> None:
    first = begin(access)
    second = begin(access, instead_of=first)
    assert first != second
    assert access.sessions.find(first) is None
    assert access.sessions.find(second) is not None


def test_a_session_is_worth_what_its_key_is(access: AccessServices) -> None:
    _, key = access.keyring.make("ci", SCOPES, expires_ms=access.clock.ms + HOUR_MS)
    reference = access.sessions.begin(key, None)
    access.clock.ms += HOUR_MS
    assert access.sessions.find(reference) is None
    _, key = access.keyring.make("ci", SCOPES)
    reference = access.sessions.begin(key, None)
    access.keyring.revoke(key.key_id)
    assert access.sessions.find(reference) is None


@pytest.mark.parametrize(
    "reference", ["", "x", "0" * 63, "0" * 64, "0" * 65, "G" * 64, "a" * 8192, "\0" * 64, "é" * 64]
)
def test_nonsense_is_no_session(access: AccessServices, reference: str) -> None:
    assert access.sessions.find(reference) is None
    access.sessions.end(reference)


def found(access: AccessServices, reference: str) -> Session:
    session = access.sessions.find(reference)
    assert session is not None
    return session


def test_tokens_are_of_one_session_and_one_secret(database: Database, access: AccessServices) -> None:
    first, second = begin(access), begin(access)
    token = found(access, first).token
    assert found(access, first).has_token(token)
    assert not found(access, second).has_token(token)
    assert not any(found(access, first).has_token(wrong) for wrong in ("", token[:-1], token + "0", "é", "\ud800"))
    other = AccessServices(database, access.clock, b"t" * 32)
    assert not found(other, first).has_token(token)


def test_the_store_holds_no_reference_and_no_key(database: Database, access: AccessServices) -> None:
    text, key = access.keyring.make("ci", SCOPES)
    reference = access.sessions.begin(key, None)
    stored = database.read(lambda connection: _everything_in(connection, keys, sessions))
    assert key.key_id in stored
    for secret in (text, text[18:61], reference):
        assert secret not in stored
        assert secret.encode().hex() not in stored


def _everything_in(connection: Connection, *tables: Table) -> str:
    rows = [row for table in tables for row in connection.execute(select(table))]
    return "\n".join(value.hex() if isinstance(value, bytes) else str(value) for row in rows for value in row)


def test_five_wrong_keys_in_a_minute_are_borne(database: Database, access: AccessServices) -> None:
    waits = [access.failed_logins.record_failure("10.0.0.1") for _ in range(7)]
    assert waits[:5] == [None] * 5
    assert waits[5:] == [60.0, 60.0]
    access.clock.ms += 20_000
    assert access.failed_logins.record_failure("10.0.0.1") == 40.0
    assert access.failed_logins.record_failure("10.0.0.2") is None
    # Another process has heard of it.
    assert AccessServices(database, access.clock).failed_logins.record_failure("10.0.0.1") == 40.0
    access.clock.ms += 40_000
    assert access.failed_logins.record_failure("10.0.0.1") is None
    access.failed_logins.prune()


class Counted(SqlFailedLogins):
    writes = 0

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        self.writes += 1
        return super().count(address, now_ms, window_ms)


def test_a_flood_costs_no_writes(database: Database) -> None:
    store = Counted(database)
    throttle = FailedLoginThrottle(store, ManualClock())
    assert [throttle.record_failure("10.0.0.1") for _ in range(1000)].count(None) == 5
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
