"""A bound on calls at once."""

import threading

import pytest

from llm_service.core.errors import Overloaded
from llm_service.core.generation.bulkhead import Bulkhead


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
