"""How much CPU time a function takes, as a multiple of something that takes time on the same machine."""

import gc
import time
from collections.abc import Callable

# Shorter times are too inexact to be compared.
COMPARABLE_S = 0.004
MAX_GROWTH = 2.5
ATTEMPTS = 40


def cpu_s(function: Callable[[], object], runs: int = 3) -> float:
    """The least of several runs, without the collection of garbage, whose work depends on the rest of the process."""
    times = []
    gc.disable()
    try:
        for _ in range(runs):
            began = time.process_time()
            function()
            times.append(time.process_time() - began)
    finally:
        gc.enable()
    return min(times)


def turns(function: Callable[[], object], runs: int = 5) -> float:
    """CPU time in turns of an empty loop."""
    return cpu_s(function, runs) / cpu_s(_million_turns) * 1_000_000


def growth(work: Callable[[int], Callable[[], object]], *, largest: int) -> float:
    """How many times as long the work on 2n takes as that on n; 1.0 = it takes no time even for the largest n.

    `work(n)` prepares it. n is the first size that takes comparable time. A machine that is busy with something else only
    makes it look more, so the least of several attempts counts.
    """
    size = 250
    while cpu_s(work(size), 1) < COMPARABLE_S:
        size *= 2
        if size > largest:
            return 1.0
    least = float("inf")
    for _ in range(ATTEMPTS):
        least = min(least, cpu_s(work(2 * size)) / cpu_s(work(size)))
        if least <= MAX_GROWTH:
            break
    return least


def _million_turns() -> None:
    for _ in range(1_000_000):
        pass
