"""Who waits for a generation of another process hears of its end. No pause here would end by itself."""

import threading
from collections.abc import Callable
from functools import partial

from llm_service.core.generation.endings import TIDY_AT, Endings, Unannounced
from llm_service.core.wake_ups import Topic
from tests.support.clocks import ManualClock, until
from tests.support.wake_ups import Wire

HOURS = 24 * 3600.0


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_pause_ends_when_the_generation_does() -> None:
    wire = Wire()
    endings, elsewhere = Endings(wire.process(), ManualClock()), wire.process()
    mine, also_mine, another = endings.of("id-1"), endings.of("id-1"), endings.of("id-2")
    waiting = [in_thread(partial(ending.pause, HOURS)) for ending in (mine, also_mine)]
    still = in_thread(lambda: another.pause(HOURS))
    elsewhere.send(Topic.ENDED, "id-1")
    for thread in waiting:
        thread.join(60)
    assert [thread.is_alive() for thread in (*waiting, still)] == [False, False, True]
    elsewhere.send(Topic.ENDED, "id-2")
    still.join(60)
    assert not still.is_alive()


def test_an_end_between_two_pauses_is_not_missed() -> None:
    wire = Wire()
    endings, elsewhere = Endings(wire.process(), ManualClock()), wire.process()
    ending = endings.of("id-1")
    elsewhere.send(Topic.ENDED, "id-1")
    ending.pause(HOURS)
    again = in_thread(lambda: ending.pause(HOURS))
    elsewhere.send(Topic.ENDED, "id-1")
    again.join(60)
    assert not again.is_alive(), "each end is for one pause"


def test_its_process_is_asked_and_asked_again_when_messages_may_have_been_lost() -> None:
    wire = Wire()
    process = wire.process()
    endings = Endings(process, ManualClock())
    ending = endings.of("id-1")
    endings.of("id-2").close()
    assert wire.sent == [(Topic.WATCH, "id-1"), (Topic.WATCH, "id-2")]
    process.hear(Topic.ENDED)
    ending.pause(HOURS)
    assert wire.sent[2:] == [(Topic.WATCH, "id-1")], "nobody waits for the other any more"
    ending.close()
    process.hear(Topic.ENDED)
    assert len(wire.sent) == 3


def test_without_wake_ups_the_pause_is_slept_through() -> None:
    clock = ManualClock()
    begun = clock.monotonic()
    ending = Unannounced(clock)
    assert ending.pause(7.0) == 7.0
    ending.close()
    until(lambda: clock.monotonic() - begun > 6.9)


def test_those_who_went_away_without_a_word_are_forgotten() -> None:
    wire = Wire()
    process = wire.process()
    endings = Endings(process, ManualClock())
    kept = endings.of("kept")
    for number in range(3 * TIDY_AT):
        endings.of(f"id-{number}")
    wire.sent.clear()
    process.hear(Topic.ENDED)
    assert wire.sent == [(Topic.WATCH, "kept")]
    kept.pause(HOURS)
    assert endings.held <= TIDY_AT
