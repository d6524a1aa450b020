"""Work that is done again and again, and at once when it is due."""

import threading
from functools import partial

from llm_service.adapters.runtime.background import Ticker, make_spawn
from tests.support.clocks import until
from tests.support.fakes import RecordingReporter

HOURS = 24 * 3600.0


def test_what_is_due_is_done_at_once_and_what_becomes_due_meanwhile_once_more() -> None:
    ticker, may_end = Ticker(make_spawn(), RecordingReporter()), threading.Event()
    begun: list[int] = []

    def work() -> None:
        begun.append(len(begun))
        may_end.wait(60)

    now = ticker.every(HOURS, work)
    now()
    until(lambda: len(begun) == 1)
    for _ in range(3):
        now()
    may_end.set()
    until(lambda: len(begun) == 2)
    ticker.close()


def test_an_error_is_reported_and_the_calls_go_on() -> None:
    reporter = RecordingReporter()
    ticker = Ticker(make_spawn(), reporter)
    now = ticker.every(HOURS, lambda: [][0])

    def reported(number: int) -> bool:
        return len(reporter.bugs) == number

    for number in (1, 2):
        now()
        until(partial(reported, number))
    ticker.close()


def test_a_closed_one_does_nothing_more() -> None:
    tasks: list[threading.Thread] = []

    def spawn(function: object) -> None:
        tasks.append(threading.Thread(target=function))  # type: ignore[arg-type]
        tasks[-1].start()

    done: list[int] = []
    ticker = Ticker(spawn, RecordingReporter())
    now = ticker.every(HOURS, lambda: done.append(1))
    ticker.close()
    now()
    tasks[0].join(60)
    assert (tasks[0].is_alive(), done) == (False, [])
