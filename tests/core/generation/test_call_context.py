"""A call that is stopped ends at once, wherever it waits."""

import threading

from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.generation.call_context import CallContext


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
