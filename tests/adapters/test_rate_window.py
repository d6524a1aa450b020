"""Counts of the last seconds, in memory that depends on the seconds only."""

import tracemalloc

from llm_service.adapters.providers.circuit_breaker import CircuitBreaker
from llm_service.adapters.providers.rate_window import Window
from tests.support.clocks import HandTimer


def test_it_counts_the_last_seconds_by_name() -> None:
    timer = HandTimer()
    window = Window(10, timer)
    for second in range(30):
        timer.now = second
        window.add("a")
        window.add("b" if second % 2 else "c")
    assert (window.count("a"), window.count("b"), window.count("c"), window.count("d")) == (11, 6, 5, 0)
    timer.now = 45
    assert window.count("a") == 0


def test_an_upstream_that_never_fails_costs_no_memory() -> None:
    """Nobody counts then: a call a second for two days."""
    timer = HandTimer()
    breaker = CircuitBreaker(timer)
    tracemalloc.start()
    try:
        for second in range(2 * 86_400):
            timer.now = second
            breaker.record(failed=False, probe=breaker.admit())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000
