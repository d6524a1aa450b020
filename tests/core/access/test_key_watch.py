"""Streams end with their keys, for one read of each key."""

import os

from llm_service.core.access.caller import Scope
from llm_service.core.access.keyring import Keyring
from llm_service.core.access.keys import Key
from tests.support.access import MemoryKeys
from tests.support.clocks import ManualClock


class CountedKeys(MemoryKeys):
    looked: list[str]

    def get(self, key_id: str) -> Key | None:
        self.looked.append(key_id)
        return super().get(key_id)


def test_each_key_is_read_once_however_many_streams_it_has() -> None:
    store, clock = CountedKeys(), ManualClock()
    store.looked = []
    keyring = Keyring(store, clock, os.urandom)
    _, kept = keyring.make("a", frozenset(Scope))
    _, revoked = keyring.make("a", frozenset(Scope))
    _, late = keyring.make("a", frozenset(Scope), expires_ms=clock.now_ms() + 1000)
    watches = [keyring.watches.watch(key.key_id) for key in (kept, revoked, late) for _ in range(100)]
    local = keyring.watches.watch(None)
    keyring.watches.look()
    assert sorted(store.looked) == sorted(key.key_id for key in (kept, revoked, late))
    assert not any(watch.ended for watch in watches)
    keyring.revoke(revoked.key_id)
    keyring.watches.look()
    assert [watch.ended for watch in watches] == [False] * 100 + [True] * 100 + [False] * 100
    clock.advance(1)
    keyring.watches.look()
    assert [watch.ended for watch in watches] == [False] * 100 + [True] * 200
    for watch in (*watches, local):
        watch.close()
    assert (len(keyring.watches), local.ended) == (0, False)
    store.looked.clear()
    keyring.watches.look()
    assert store.looked == [], "nothing is read while there are no streams"


def test_a_key_that_is_gone_ends_its_streams() -> None:
    store = MemoryKeys()
    keyring = Keyring(store, ManualClock(), os.urandom)
    _, key = keyring.make("a", frozenset(Scope))
    watch = keyring.watches.watch(key.key_id)
    del store.keys[key.key_id]
    keyring.watches.look()
    assert watch.ended


def test_a_stream_that_waits_is_interrupted_once() -> None:
    keyring = Keyring(MemoryKeys(), ManualClock(), os.urandom)
    _, key = keyring.make("a", frozenset(Scope))
    watch, ended = keyring.watches.watch(key.key_id), list[bool]()
    watch.interrupts(lambda: ended.append(watch.ended))
    keyring.watches.look()
    keyring.revoke(key.key_id)
    for _ in range(2):
        keyring.watches.look()
    assert ended == [True], "when it looks, it sees why"
