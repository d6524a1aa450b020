"""Outcomes that cannot be stored at once."""

import threading

import pytest

from llm_service.core import errors
from llm_service.core.generation.model import (
    Delta,
    Status,
)
from tests.support.fakes import ScriptedProvider
from tests.support.world import World


@pytest.mark.parametrize("members", [1, 2])
def test_what_is_stopped_while_the_store_is_away_is_kept_aside_and_said_so(members: int) -> None:
    world = World(ScriptedProvider(Delta("some text"), threading.Event()))
    subscriptions = [world.begin(detached=True) for _ in range(members)]
    assert all(isinstance(subscription.next(30), Delta) for subscription in subscriptions)
    world.store.away = True
    with pytest.raises(errors.StorageUnavailable, match="could not be stored"):
        world.registry.cancel(world.registry.of_owner("local")[0])
    (kept,) = world.spool.kept
    assert (kept.status, kept.output) == (Status.CANCELLED, "some text")
    world.store.away = False
    world.recorder.replay()
    row = world.store.rows[kept.request_id]
    assert (row.status, row.output, row.answer_id) == (Status.CANCELLED, "some text", kept.answer_id)
    assert (row.answer_id != row.request_id) is (members == 2), "texts that are shared stay as they are"
    for subscription in subscriptions:
        subscription.close()
