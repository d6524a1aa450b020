"""The text of a generation of another process is shown while it grows; its row has the end."""

import threading
from dataclasses import replace

import pytest

from llm_service.adapters.memory.single_flight import MemorySharedCall, MemorySingleFlight
from llm_service.core import errors
from llm_service.core.clock import Event, Waker
from llm_service.core.generation.endings import Endings
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta, Generation, Status
from llm_service.core.generation.subscriptions import PolledSubscription
from llm_service.core.wake_ups import Topic
from tests.support.builders import completed, generation
from tests.support.clocks import ManualClock
from tests.support.fakes import ScriptedProvider
from tests.support.wake_ups import Wire
from tests.support.world import World, heard


class OneText:
    """The text of one generation elsewhere, passed on in the memory of the test. Satisfies `RemoteTexts`, and `RemoteText`."""

    def __init__(self) -> None:
        self.log: MemorySharedCall = MemorySingleFlight().join("k", "id-1", "f")
        self.ended = False
        self.followed: list[str] = []
        self.closed = 0

    def follow(self, request_id: str) -> "OneText":
        self.followed.append(request_id)
        return self

    @property
    def restarts(self) -> int:
        return self.log.restarts

    def text_after(self, position: int) -> str:
        return self.log.text_after(position)

    def watch(self, waker: Waker) -> None:
        self.log.watch(waker)

    def close(self) -> None:
        self.closed += 1


class WaitingClock(ManualClock):
    """Time passes when something waits in vain."""

    def wait(self, event: Event, timeout_s: float) -> bool:
        if not event.is_set():
            self.advance(timeout_s)
        return event.is_set()


class Elsewhere:
    """A generation that runs in another process."""

    def __init__(self, after: int = 0, clock: ManualClock | None = None) -> None:
        self.world, self.text, wire = World(ScriptedProvider()), OneText(), Wire()
        clock = clock or WaitingClock()
        here, self.there = wire.process(), wire.process()
        self.world.store.rows["id-1"] = generation(1)
        self.subscription = PolledSubscription(
            self.world.store,
            clock,
            self.world.orphans,
            generation(1),
            after,
            ending=Endings(here, clock).of(generation(1).request_id),
            texts=self.text,
        )

    def ends(self, row: Generation, *, told: bool = True) -> None:
        """`told`: no text is missing."""
        self.text.ended = told
        self.world.store.rows["id-1"] = row
        self.there.send(Topic.ENDED, "id-1")


def test_each_piece_is_shown_and_then_the_result() -> None:
    elsewhere = Elsewhere()
    for piece in ("a", "b"):
        elsewhere.text.log.append(piece)
        assert elsewhere.subscription.next(5) == Delta(piece)
    elsewhere.text.log.append("c")
    elsewhere.ends(completed(generation(1), output="abc"))
    text, result = heard(elsewhere.subscription)
    assert (text, result.generation.output, elsewhere.subscription.position) == ("c", "abc", 3)
    elsewhere.subscription.close()
    assert (elsewhere.text.followed, elsewhere.text.closed) == (["id-1"], 1)


def test_new_text_wakes_who_waits_for_it() -> None:
    elsewhere = Elsewhere(clock=ManualClock())
    got = list[object]()
    thread = threading.Thread(target=lambda: got.append(elsewhere.subscription.next(3600)), daemon=True)
    thread.start()
    elsewhere.text.log.append("a")
    thread.join(60)
    assert got == [Delta("a")]


def test_who_resumes_is_shown_only_the_rest() -> None:
    elsewhere = Elsewhere(after=2)
    elsewhere.text.log.append("a")
    elsewhere.text.log.append("bc")
    assert elsewhere.subscription.next(5) == Delta("c")
    elsewhere.ends(completed(generation(1), output="abcd"), told=False)
    assert heard(elsewhere.subscription)[0] == "d"


def test_what_did_not_come_in_time_comes_from_the_row() -> None:
    elsewhere = Elsewhere()
    elsewhere.text.log.append("ab")
    assert elsewhere.subscription.next(5) == Delta("ab")
    elsewhere.ends(completed(generation(1), output="abcd"), told=False)
    assert heard(elsewhere.subscription)[0] == "cd"


def test_without_any_text_it_comes_whole_from_the_row() -> None:
    elsewhere = Elsewhere(after=1)
    elsewhere.ends(completed(generation(1), output="abc"), told=False)
    assert heard(elsewhere.subscription)[0] == "bc"


@pytest.mark.parametrize("output", ["bc", None])
def test_a_row_with_only_a_part_of_the_text_adds_nothing(output: str | None) -> None:
    """The JSON without the words around it, or a history that keeps no texts."""
    elsewhere = Elsewhere()
    elsewhere.text.log.append("abc")
    assert elsewhere.subscription.next(5) == Delta("abc")
    elsewhere.text.log.append("d")
    elsewhere.ends(replace(completed(generation(1)), output=output))
    text, result = heard(elsewhere.subscription)
    assert (text, result.generation.output) == ("d", output)


def test_another_answer_than_was_shown_is_an_error() -> None:
    """The text began anew elsewhere, and its pieces did not arrive."""
    elsewhere = Elsewhere()
    elsewhere.text.log.append("ab")
    assert elsewhere.subscription.next(5) == Delta("ab")
    elsewhere.ends(completed(generation(1), output="xyz"), told=False)
    with pytest.raises(errors.UpstreamTruncated):
        heard(elsewhere.subscription)


def test_a_text_that_begins_anew_goes_on_where_it_is_the_same() -> None:
    elsewhere = Elsewhere()
    elsewhere.text.log.append("ab")
    assert elsewhere.subscription.next(5) == Delta("ab")
    elsewhere.text.log.restart()
    elsewhere.text.log.append("abc")
    assert elsewhere.subscription.next(5) == Delta("c")


def test_who_wants_only_the_result_asks_for_no_text() -> None:
    elsewhere = Elsewhere()
    elsewhere.ends(completed(generation(1), output="abc"))
    assert isinstance(elsewhere.subscription.result(5), GenerationResult)
    assert elsewhere.text.followed == []


def test_a_generation_that_failed_raises_after_its_text() -> None:
    elsewhere = Elsewhere()
    elsewhere.text.log.append("ab")
    elsewhere.ends(replace(completed(generation(1)), status=Status.FAILED, error="upstream-truncated", output="ab"))
    assert elsewhere.subscription.next(5) == Delta("ab")
    with pytest.raises(errors.UpstreamTruncated):
        heard(elsewhere.subscription)
