"""Which keys open the service, how long a good one is trusted, and that nothing is written for a request."""

import os
import threading

import pytest

from llm_service.core.access.caller import Allowance, Scope
from llm_service.core.access.keyring import MAX_TRUSTED, TRUSTED_S, KeyRejection, Keyring, RejectedKey
from llm_service.core.access.keys import Key, digest_of, with_checksum
from llm_service.core.access.lookups import MAX_LOOKUPS
from llm_service.core.clock import MINUTE_MS
from llm_service.core.errors import NotFound, Overloaded
from llm_service.core.wake_ups import Topic
from tests.support.access import MemoryKeys
from tests.support.clocks import ManualClock, until
from tests.support.wake_ups import Wire

SCOPES = frozenset({Scope.GENERATE})


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="store")
def _store() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture(name="keyring")
def _keyring(store: MemoryKeys, clock: ManualClock) -> Keyring:
    return Keyring(store, clock, os.urandom)


def test_a_new_key_is_stored_as_its_hash(keyring: Keyring, store: MemoryKeys, clock: ManualClock) -> None:
    text, key = keyring.make("ci", SCOPES, models=frozenset({"m"}), allowance=Allowance(1), expires_ms=clock.ms + 5)
    assert key == Key(key.key_id, "ci", SCOPES, clock.ms, frozenset({"m"}), Allowance(1), clock.ms + 5)
    assert store.keys == {key.key_id: (key, digest_of(text))}
    assert keyring.find(text) == key
    assert list(keyring.all()) == [key]


def test_each_refusal_names_its_reason(keyring: Keyring, clock: ManualClock) -> None:
    text, key = keyring.make("ci", SCOPES)
    other, _ = keyring.make("ci", SCOPES)
    late, late_key = keyring.make("ci", SCOPES, expires_ms=clock.ms)
    assert keyring.find("nonsense") == RejectedKey(KeyRejection.MALFORMED)
    assert keyring.find(with_checksum("llms_" + "0" * 12 + text[17:-6])) == RejectedKey(KeyRejection.UNKNOWN, "0" * 12)
    assert keyring.find(with_checksum(text[:18] + other[18:-6])) == RejectedKey(KeyRejection.WRONG, key.key_id)
    assert keyring.find(late) == RejectedKey(KeyRejection.EXPIRED, late_key.key_id)
    keyring.revoke(key.key_id)
    assert keyring.find(text) == RejectedKey(KeyRejection.REVOKED, key.key_id)


def test_a_good_key_is_looked_up_once_while_it_is_trusted(
    keyring: Keyring, store: MemoryKeys, clock: ManualClock
) -> None:
    text, _ = keyring.make("ci", SCOPES)
    for _ in range(5):
        assert isinstance(keyring.find(text), Key)
    assert store.reads == 1
    clock.ms += round(TRUSTED_S * 1000)
    keyring.find(text)
    assert store.reads == 2


def test_who_comes_at_the_same_time_with_one_key_shares_its_lookup(clock: ManualClock) -> None:
    class Waiting(MemoryKeys):
        """A lookup lasts until the test says so."""

        def digest_of(self, key_id: str) -> bytes | None:
            found = super().digest_of(key_id)
            asked.wait(10)
            return found

    store, found = Waiting(), list[Key | RejectedKey]()
    keyring = Keyring(store, clock, os.urandom)
    text, key = keyring.make("ci", SCOPES)
    asked = threading.Barrier(2)  # the lookup and the test
    first = threading.Thread(target=lambda: found.append(keyring.find(text)))
    first.start()
    until(lambda: store.reads)
    others = [threading.Thread(target=lambda: found.append(keyring.find(text))) for _ in range(5)]
    for thread in others:
        thread.start()
    asked.wait(10)
    for thread in (first, *others):
        thread.join(10)
    assert (found, store.reads) == ([key] * 6, 1)


def test_a_revocation_in_another_process_is_felt_when_the_trust_ends(
    keyring: Keyring, store: MemoryKeys, clock: ManualClock
) -> None:
    text, key = keyring.make("ci", SCOPES)
    keyring.find(text)
    store.revoke(key.key_id, clock.ms)
    clock.ms += round(TRUSTED_S * 1000)
    assert keyring.find(text) == RejectedKey(KeyRejection.REVOKED, key.key_id)


def test_wrong_keys_are_never_trusted(keyring: Keyring, store: MemoryKeys) -> None:
    text, _ = keyring.make("ci", SCOPES)
    wrong = with_checksum(text[:18] + "x" * 43)
    for _ in range(3):
        assert isinstance(keyring.find(wrong), RejectedKey)
    assert store.reads == 3


def test_what_is_trusted_does_not_grow_without_end(keyring: Keyring, store: MemoryKeys) -> None:
    texts = [keyring.make("ci", SCOPES)[0] for _ in range(MAX_TRUSTED + 1)]
    for text in texts:
        keyring.find(text)
    keyring.find(texts[0])
    assert store.reads == MAX_TRUSTED + 2, "the first was forgotten when there were too many"


def test_uses_are_stored_together_and_to_the_minute(keyring: Keyring, store: MemoryKeys, clock: ManualClock) -> None:
    (first, first_key), (second, second_key) = keyring.make("a", SCOPES), keyring.make("b", SCOPES)
    keyring.find(first)
    keyring.find(second)
    keyring.find("nonsense")
    assert store.uses == [], "no write for a request"
    keyring.save_last_used()
    minute = clock.ms - clock.ms % MINUTE_MS
    assert store.uses == [{first_key.key_id: minute, second_key.key_id: minute}]
    keyring.save_last_used()
    assert len(store.uses) == 1, "nothing was used since"


def test_whether_any_key_is_usable(keyring: Keyring, clock: ManualClock) -> None:
    assert not keyring.has_usable_key()
    keyring.make("ci", SCOPES, expires_ms=clock.ms + 1)
    assert keyring.has_usable_key()
    clock.ms += 1
    assert not keyring.has_usable_key()


def test_a_second_revocation_changes_nothing(keyring: Keyring, clock: ManualClock) -> None:
    _, key = keyring.make("ci", SCOPES)
    revoked = keyring.revoke(key.key_id)
    clock.ms += 1000
    assert keyring.revoke(key.key_id) == revoked
    with pytest.raises(NotFound, match="flask keys list"):
        keyring.revoke("nope")


def test_of_unknown_keys_few_are_looked_up_at_once_and_known_ones_always(clock: ManualClock) -> None:
    others = Keyring(MemoryKeys(), clock, os.urandom)
    outcomes: list[str] = []

    def unknown() -> str:
        return others.make("other", SCOPES)[0]

    class Slow(MemoryKeys):
        """Each lookup is in progress while the next one begins."""

        def digest_of(self, key_id: str) -> bytes | None:
            if key_id not in self.keys and len(outcomes) < 2 * MAX_LOOKUPS:
                outcomes.append("looked up")
                try:
                    keyring.find(unknown())
                except Overloaded:
                    outcomes.append("refused")
                    assert keyring.find(text) == key, "it is looked up again, and never refused"
            return super().digest_of(key_id)

    keyring = Keyring(Slow(), clock, os.urandom)
    text, key = keyring.make("ci", SCOPES)
    assert keyring.find(text) == key
    clock.ms += round(TRUSTED_S * 1000)
    assert isinstance(keyring.find(unknown()), RejectedKey)
    assert outcomes == ["looked up"] * MAX_LOOKUPS + ["refused"]
    outcomes *= 2
    assert isinstance(keyring.find(unknown()), RejectedKey), "all are free again"


def test_other_processes_hear_of_changes_and_forget_what_they_trusted(store: MemoryKeys, clock: ManualClock) -> None:
    wire = Wire()
    here, there = (Keyring(store, clock, os.urandom, wire.process()) for _ in range(2))
    text, key = here.make("ci", SCOPES)
    assert isinstance(there.find(text), Key)
    here.revoke(key.key_id)
    assert wire.sent == [(Topic.KEYS, ""), (Topic.KEYS, "")]
    assert there.find(text) == RejectedKey(KeyRejection.REVOKED, key.key_id)


def test_what_was_read_before_a_revocation_is_not_trusted_after_it(store: MemoryKeys, clock: ManualClock) -> None:
    text, key = Keyring(store, clock, os.urandom).make("ci", SCOPES)

    class SlowStore(MemoryKeys):
        def get(self, key_id: str) -> Key | None:
            found = store.get(key_id)
            if found is not None and not found.revoked_ms:
                keyring.revoke(key_id)
            return found

    slow = SlowStore()
    slow.keys = store.keys
    keyring = Keyring(slow, clock, os.urandom)
    assert isinstance(keyring.find(text), Key), "it was usable when it was read"
    assert keyring.find(text) == RejectedKey(KeyRejection.REVOKED, key.key_id)
