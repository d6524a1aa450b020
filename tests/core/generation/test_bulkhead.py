"""A bound on calls at once."""

import threading

import pytest

from llm_service.core.errors import Overloaded
from llm_service.core.generation.bulkhead import Bulkhead, HeldSlot


def test_nobody_waits_for_a_slot() -> None:
    bulkhead = Bulkhead(2)
    bulkhead.acquire()
    bulkhead.acquire()
    with pytest.raises(Overloaded):
        bulkhead.acquire()
    bulkhead.release()
    bulkhead.acquire()
    assert (bulkhead.in_use, bulkhead.size) == (2, 2)


def test_threads_get_no_more_than_there_are() -> None:
    bulkhead, refused = Bulkhead(5), list[Overloaded]()

    def work() -> None:
        try:
            bulkhead.acquire()
        except Overloaded as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (bulkhead.in_use, len(refused)) == (5, 15)


def test_a_held_slot_moves_and_is_released_once() -> None:
    first, second, full = Bulkhead(1), Bulkhead(1), Bulkhead(0)
    slot = HeldSlot()
    assert slot.take_first_free([full, second, first]) == 1
    slot.take(second)
    slot.take(first)
    assert (first.in_use, second.in_use) == (1, 0)
    with pytest.raises(Overloaded):
        slot.take(full)
    slot.release()
    assert (first.in_use, second.in_use) == (0, 0)
    with pytest.raises(Overloaded):
        slot.take_first_free([full, full])
