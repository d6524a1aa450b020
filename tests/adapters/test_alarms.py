"""Alarms: each rings once, none too early, and no thread stays without one."""

import threading
import time
from collections.abc import Callable

import pytest

from llm_service.adapters.runtime.alarms import LINGER_S, TICK_S, Alarms
from tests.support.clocks import until
from tests.support.logs import logged


class Spawned:
    """Threads, as outside of a gevent worker, and how many there were."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def __call__(self, function: Callable[[], None]) -> None:
        self.threads.append(threading.Thread(target=function, daemon=True))
        self.threads[-1].start()


@pytest.fixture(name="spawned")
def _spawned() -> Spawned:
    return Spawned()


@pytest.fixture(name="alarms")
def _alarms(spawned: Spawned) -> Alarms:
    return Alarms(spawned)


def test_it_rings_once_and_not_too_early(alarms: Alarms) -> None:
    rings: list[float] = []
    alarm = alarms.add(lambda: rings.append(time.monotonic()))
    states = [alarm.rang]
    began = time.monotonic()
    alarm.set(0.2)
    states.append(alarm.rang)
    assert states == [True, False]
    until(lambda: alarm.rang)
    time.sleep(4 * TICK_S)
    assert len(rings) == 1
    assert rings[0] - began >= 0.2
    alarm.set(0)
    until(lambda: len(rings) == 2)
    alarm.cancel()


def test_setting_it_again_replaces_the_time(alarms: Alarms) -> None:
    rings: list[str] = []
    late, soon = alarms.add(lambda: rings.append("late")), alarms.add(lambda: rings.append("soon"))
    late.set(0.1)
    late.set(3600)
    soon.set(0.2)
    until(lambda: soon.rang)
    assert rings == ["soon"]
    assert not late.rang
    late.cancel()
    soon.cancel()


def test_a_cancelled_alarm_does_not_ring(alarms: Alarms) -> None:
    rings: list[int] = []
    cancelled, other = alarms.add(lambda: rings.append(1)), alarms.add(lambda: rings.append(2))
    cancelled.set(0)
    cancelled.cancel()
    other.set(0.1)
    until(lambda: other.rang)
    cancelled.cancel()
    other.cancel()
    assert rings == [2]


def test_what_fails_is_logged_and_the_others_ring(alarms: Alarms) -> None:
    with logged("ERROR") as lines:
        broken, whole = alarms.add(lambda: 1 / 0), alarms.add(lambda: None)
        broken.set(0)
        until(lambda: broken.rang)
        whole.set(0)
        until(lambda: whole.rang)
        broken.cancel()
        whole.cancel()
        assert any("ZeroDivisionError" in line for line in lines)


def test_the_task_runs_only_while_there_are_alarms(alarms: Alarms, spawned: Spawned) -> None:
    first, second = alarms.add(lambda: None), alarms.add(lambda: None)
    assert len(spawned.threads) == 1, "one for all"
    first.cancel()
    time.sleep(LINGER_S + 10 * TICK_S)
    assert spawned.threads[0].is_alive(), "there is one left"
    second.cancel()
    until(lambda: not spawned.threads[0].is_alive())
    again = alarms.add(lambda: None)
    again.set(0)
    until(lambda: again.rang)
    assert len(spawned.threads) == 2
    again.cancel()


def test_after_a_start_that_failed_the_next_alarm_starts_the_task(spawned: Spawned) -> None:
    fails = [RuntimeError("can't start new thread")]

    def spawn(function: Callable[[], None]) -> None:
        if fails:
            raise fails.pop()
        spawned(function)

    alarms = Alarms(spawn)
    with pytest.raises(RuntimeError):
        alarms.add(lambda: None)
    alarm = alarms.add(lambda: None)
    alarm.set(0)
    until(lambda: alarm.rang)
    alarm.cancel()
