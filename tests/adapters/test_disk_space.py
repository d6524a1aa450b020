"""The room on the database's disk, as the system says it."""

from pathlib import Path

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.sql.sqlite.disk_space import DiskSpace
from llm_service.core.errors import StorageFull
from tests.support.world import World

MORE_THAN_THERE_IS = 2**62


def test_it_refuses_below_its_bound(tmp_path: Path) -> None:
    roomy, full = DiskSpace(tmp_path, 0), DiskSpace(tmp_path, MORE_THAN_THERE_IS)
    roomy.require()
    with pytest.raises(StorageFull) as raised:
        full.require()
    assert raised.value.retry_after_s == 60


def test_without_room_no_call_is_made_and_nothing_is_stored(tmp_path: Path) -> None:
    full = DiskSpace(tmp_path, MORE_THAN_THERE_IS)
    world = World(EchoProvider(), space=full)
    for _ in "ab":
        with pytest.raises(StorageFull):
            world.run()
    assert (world.store.writes, world.slots.in_use) == ([], 0)
