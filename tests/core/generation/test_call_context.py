"""A call that is stopped ends at once, wherever it waits."""

import threading

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.call_context import CallContext
from tests.support.clocks import ManualClock


def test_a_stop_ends_what_the_call_waits_for() -> None:
    ended: list[str] = []
    context = CallContext(1.0, SystemClock())
    context.on_stop(lambda: ended.append("read"))
    assert not context.stopped
    context.stop()
    assert (context.stopped, ended) == (True, ["read"])


def test_what_waits_after_the_stop_is_ended_at_once() -> None:
    ended: list[str] = []
    context = CallContext(1.0, SystemClock())
    context.stop()
    context.on_stop(lambda: ended.append("read"))
    assert ended == ["read"]


def test_a_wait_that_is_over_is_not_ended() -> None:
    ended: list[str] = []
    context = CallContext(1.0, SystemClock())
    context.on_stop(lambda: ended.append("read"))
    context.on_stop(None)
    context.stop()
    assert ended == []


def test_a_sleep_ends_with_the_call() -> None:
    context = CallContext(1.0, SystemClock())
    assert context.sleep(0) is False
    slept: list[bool] = []
    sleeper = threading.Thread(target=lambda: slept.append(context.sleep(600)))
    sleeper.start()
    context.stop()
    sleeper.join(60)
    assert slept == [True]


def test_a_call_may_be_made_again_unless_somebody_says_otherwise() -> None:
    context = CallContext(1.0, SystemClock())
    assert (context.may_restart(), context.may_retry()) == (True, True)
    context = CallContext(1.0, SystemClock(), lambda: False, lambda: False)
    assert (context.may_restart(), context.may_retry()) == (False, False)


class Waits:
    deadline = 0.0

    def set_deadline(self, deadline: float) -> None:
        self.deadline = deadline


def test_before_a_fallback_a_model_has_a_share_of_the_time_and_one_attempt() -> None:
    clock = ManualClock()
    whole = CallContext(clock.monotonic() + 90, clock)
    part = whole.before_fallback(3)
    assert (part.deadline, part.fallback_left, whole.fallback_left) == (clock.monotonic() + 30, True, False)
    waits = Waits()
    part.waits_until_deadline(waits)
    part.extend(whole.deadline)
    assert part.deadline == waits.deadline == whole.deadline
    clock.advance(100)
    assert whole.is_late
    assert whole.before_fallback(2).deadline == clock.monotonic()


def test_a_stop_ends_the_model_that_is_asked() -> None:
    clock = ManualClock()
    whole = CallContext(clock.monotonic() + 90, clock)
    part = whole.before_fallback(2)
    whole.stop()
    assert part.stopped
    assert whole.before_fallback(2).stopped
