"""What the stores of keys, sessions, failed logins and epochs promise. A second database is one more param."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import pytest

from llm_service.adapters.memory.cache import EpochStore
from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.epochs import SqlEpochs
from llm_service.adapters.sql.failed_logins import SqlFailedLogins
from llm_service.adapters.sql.keys import SqlKeys, SqlSessions
from llm_service.core.access.caller import Allowance, Scope
from llm_service.core.access.keys import Key
from llm_service.core.access.ports import FailedLoginStore, KeyStore, SessionStore, StoredSession
from tests.support.constants import POOLED_ENGINES


class Stores(NamedTuple):
    keys: KeyStore
    sessions: SessionStore
    failed_logins: FailedLoginStore
    epochs: EpochStore


@pytest.fixture(name="stores", params=POOLED_ENGINES)
def _stores(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[Stores]:
    database = new_database_of(request.param)
    yield Stores(SqlKeys(database), SqlSessions(database), SqlFailedLogins(database), SqlEpochs(database))
    database.close()


PLAIN = Key("A" * 12, "alice", frozenset({Scope.GENERATE}), 1000)
FULL = Key(
    "B" * 12,
    "bob",
    frozenset(Scope),
    2000,
    frozenset({"gpt-4o-mini", "qwen3:8b"}),
    Allowance(60, 4, Decimal("2.5"), 1_000_000),
    expires_ms=9000,
)
HASH = bytes(range(32))


def test_a_key_comes_back_as_it_was(stores: Stores) -> None:
    for key in (PLAIN, FULL):
        stores.keys.add(key, HASH)
        assert (stores.keys.get(key.key_id), stores.keys.digest_of(key.key_id)) == (key, HASH)
    assert stores.keys.all() == [PLAIN, FULL]


@pytest.mark.parametrize("key_id", ["", "a" * 12, "' OR 1=1 --", "A" * 11 + "%", "ä", "x" * 10_000])
def test_other_ids_find_nothing(stores: Stores, key_id: str) -> None:
    stores.keys.add(PLAIN, HASH)
    assert (stores.keys.get(key_id), stores.keys.digest_of(key_id)) == (None, None)
    assert stores.keys.revoke(key_id, 5) is None
    assert stores.keys.all() == [PLAIN]


def test_revoking_is_for_good_and_ends_the_sessions(stores: Stores) -> None:
    for key in (PLAIN, FULL):
        stores.keys.add(key, HASH)
        stores.sessions.add(f"of {key.owner}", key.key_id, 100)
    assert stores.keys.revoke(PLAIN.key_id, 5000) == replace(PLAIN, revoked_ms=5000)
    assert stores.keys.revoke(PLAIN.key_id, 6000) == replace(PLAIN, revoked_ms=5000)
    assert stores.keys.get(PLAIN.key_id) == replace(PLAIN, revoked_ms=5000)
    assert stores.sessions.find("of alice") is None
    assert stores.sessions.find("of bob") is not None


def test_the_last_use_never_goes_back(stores: Stores) -> None:
    stores.keys.add(PLAIN, HASH)
    stores.keys.add(FULL, HASH)
    stores.keys.mark_used({PLAIN.key_id: 60_000, "nobody": 60_000})
    stores.keys.mark_used({PLAIN.key_id: 120_000, FULL.key_id: 120_000})
    stores.keys.mark_used({PLAIN.key_id: 60_000})
    assert [key.last_used_ms for key in stores.keys.all()] == [120_000, 120_000]


def test_a_session_knows_its_key_as_it_is_now(stores: Stores) -> None:
    stores.keys.add(FULL, HASH)
    stores.sessions.add("s1", FULL.key_id, 100)
    stores.sessions.add("s2", FULL.key_id, 200)
    assert stores.sessions.find("s1") == StoredSession("s1", FULL, 100, 100)
    stores.sessions.mark_seen("s1", 300)
    stores.keys.mark_used({FULL.key_id: 60_000})
    assert stores.sessions.find("s1") == StoredSession("s1", replace(FULL, last_used_ms=60_000), 100, 300)
    stores.sessions.remove("s1")
    stores.sessions.remove("s1")
    assert stores.sessions.find("s1") is None
    assert stores.sessions.find("s2") is not None


def test_old_sessions_are_forgotten(stores: Stores) -> None:
    stores.keys.add(PLAIN, HASH)
    for name, created_ms, seen_ms in (("old", 10, 500), ("idle", 100, 100), ("good", 100, 500)):
        stores.sessions.add(name, PLAIN.key_id, created_ms)
        stores.sessions.mark_seen(name, seen_ms)
    stores.sessions.remove_older(created_ms=50, seen_ms=400)
    assert [stores.sessions.find(name) is not None for name in ("old", "idle", "good")] == [False, False, True]


def test_attempts_are_counted_in_windows_by_address(stores: Stores) -> None:
    counts = [stores.failed_logins.count("10.0.0.1", at, 1000) for at in (5000, 5400, 5999, 6000)]
    assert counts == [(5000, 1), (5000, 2), (5000, 3), (6000, 1)]
    assert stores.failed_logins.count("10.0.0.2", 6000, 1000) == (6000, 1)
    assert stores.failed_logins.count("10.0.0.1", 100, 1000) == (100, 1), "the clock was set back"
    stores.failed_logins.remove_older(200)
    assert stores.failed_logins.count("10.0.0.1", 300, 1000) == (300, 1)


def test_marks_grow(stores: Stores) -> None:
    assert stores.epochs.get("a") == 0
    assert [stores.epochs.advance("a"), stores.epochs.advance("a"), stores.epochs.advance("b")] == [1, 2, 1]
    assert stores.epochs.get("a") == 2
