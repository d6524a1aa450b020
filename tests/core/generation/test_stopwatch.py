from llm_service.core.generation.stopwatch import Stopwatch
from tests.support.clocks import ManualClock


def test_laps_are_named_and_add_up() -> None:
    clock = ManualClock()
    watch = Stopwatch(clock)
    clock.ms += 5
    watch.lap("render")
    clock.ms += 100
    watch.lap("upstream")
    clock.ms += 7
    watch.lap("render")
    clock.ms += 1
    assert {name: round(lap) for name, lap in watch.laps_ms.items()} == {"render": 12, "upstream": 100}
    assert round(watch.total_ms()) == 113


def test_a_new_one_has_no_laps() -> None:
    watch = Stopwatch(ManualClock())
    assert (watch.laps_ms, watch.total_ms()) == ({}, 0)
