"""What every single flight promises. `here` and `there` are two processes that share it, or one and the same."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.core.errors import Failure, FieldError, InvalidInput, UpstreamRateLimited
from llm_service.core.generation.model import CallResult, Done, Status
from llm_service.core.generation.ports import SharedCall, SingleFlight
from llm_service.core.generation.tried_models import AnsweredBy, TriedModel
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import until
from tests.support.flights import Machines
from tests.support.redis_server import RedisServer, running_redis

WAIT_S = 30.0
DONE = CallResult(Done(Status.COMPLETED, "ab", Usage(1, 2, 3), "m1"))


@dataclass
class Flights:
    here: SingleFlight
    there: SingleFlight
    tick: Callable[[], None]


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="flights", params=["memory", "redis, one process", "redis, two processes"])
def _flights(request: pytest.FixtureRequest) -> Iterator[Flights]:
    if request.param == "memory":
        memory = MemorySingleFlight()
        yield Flights(memory, memory, lambda: None)
        return
    machines = Machines(request.getfixturevalue("server"))
    here = machines.process()
    there = machines.process() if "two" in request.param else here

    def tick() -> None:
        here.flight.tick()
        there.flight.tick()

    yield Flights(here.flight, there.flight, tick)
    machines.close()
    assert here.reporter.errors == there.reporter.errors == []


def joined(flights: Flights) -> tuple[SharedCall, SharedCall]:
    """A call that `id-1` leads here, and `id-2` has joined there."""
    return flights.here.join("k", "id-1", "f1"), flights.there.join("k", "id-2", "f2")


def end_of(call: SharedCall, member: str) -> CallResult:
    """For one that may hear late who leads it: until then it seems to be lost."""
    while (result := call.wait_completed(WAIT_S)) is None:
        assert not call.take_over(member)
    return result


def test_the_first_one_leads_and_all_others_join(flights: Flights) -> None:
    leads, joins = joined(flights)
    assert (leads.call_id, leads.fingerprint) == (joins.call_id, joins.fingerprint) == ("id-1", "f1")
    assert flights.here.join("k", "id-3", "f3").call_id == "id-1"
    assert flights.there.join("other", "id-4", "f4").call_id == "id-4"
    assert [flights.there.join(None, each, "f").call_id for each in ("id-5", "id-6")] == ["id-5", "id-6"]


def test_of_many_at_once_one_leads(flights: Flights) -> None:
    begin, calls = threading.Barrier(20), list[tuple[str, SharedCall]]()

    def join(number: int) -> None:
        flight = flights.here if number % 2 else flights.there
        begin.wait(WAIT_S)
        calls.append((f"id-{number}", flight.join("k", f"id-{number}", "f")))

    threads = [threading.Thread(target=join, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len({call.call_id for _, call in calls}) == 1
    assert len([member for member, call in calls if member == call.call_id]) == 1


def test_all_get_the_end_and_the_whole_text(flights: Flights) -> None:
    leads, joins = joined(flights)
    leads.append("a")
    leads.append("b")
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == leads.wait_completed(WAIT_S) == DONE
    assert joins.text_after(0) == "ab"
    assert (joins.text_after(1), joins.lost) == ("b", False)


END = Done(
    Status.INCOMPLETE,
    "h\u00e9llo \U0001f600",
    Usage(1, None, 10**12, 0, 7),
    "m\u00fc",
    "why",
    "req-1",
    Decimal("1.2300E-9"),
)
BY = AnsweredBy("m2", "p2", "key", (TriedModel("m1", "p1", "upstream-auth", 0),))
ENDS = [
    CallResult(END, answered_by=BY),
    CallResult(failure=Failure.of(InvalidInput.of([FieldError("a", "is \u00e4")])), answered_by=BY),
    CallResult(failure=Failure.of(UpstreamRateLimited("slower", retry_after_s=0.1))),
    CallResult(failure=Failure.of(ZeroDivisionError())),
]


@pytest.mark.parametrize("end", ENDS)
def test_the_end_is_the_same_for_all(flights: Flights, end: CallResult) -> None:
    leads, joins = joined(flights)
    leads.append("<h\u00e9llo \U0001f600>")
    leads.complete(end)
    found = joins.wait_completed(WAIT_S)
    assert found == end
    assert repr(found) == repr(end), "with the same types and digits"
    assert joins.text_after(0) == "<h\u00e9llo \U0001f600>", "also where the answer is only a part of it"


def test_a_text_that_is_shown_grows_for_all(flights: Flights) -> None:
    leads, joins = joined(flights)
    changed = threading.Event()
    joins.watch(changed)
    leads.append("a")
    joins.mark_shown()
    for text in ("ab", "ab\U0001f600", "ab\U0001f600d"):
        until(lambda text=text: joins.text_after(0) == text[:-1])  # type: ignore[misc]
        assert changed.wait(WAIT_S)
        changed.clear()
        leads.append(text[-1])
    until(lambda: joins.text_after(0) == "ab\U0001f600d")
    assert leads.shown, "it must not restart"
    assert joins.text_after(2) == "\U0001f600d"


def test_a_text_that_begins_anew_does_so_for_all(flights: Flights) -> None:
    leads, joins = joined(flights)
    joins.mark_shown()
    leads.append("wrong")
    until(lambda: joins.text_after(0) == "wrong")
    before = joins.restarts
    leads.restart()
    leads.append("right")
    until(lambda: joins.text_after(0) == "right")
    assert joins.restarts == before + 1
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE


def test_who_joins_late_sees_the_text_from_its_start(flights: Flights) -> None:
    leads, joins = joined(flights)
    joins.mark_shown()
    leads.append("a")
    until(lambda: joins.text_after(0) == "a")
    late = flights.there.join("k", "id-3", "f")
    late.mark_shown()
    leads.append("b")
    until(lambda: late.text_after(0) == "ab")


def test_after_its_end_a_call_is_a_new_one(flights: Flights) -> None:
    leads, joins = joined(flights)
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE
    assert flights.there.join("k", "id-3", "f").call_id == "id-3"
    assert flights.here.join("k", "id-4", "f").call_id == "id-3"


def test_a_closed_call_ends_for_its_members_only(flights: Flights) -> None:
    leads, joins = joined(flights)
    leads.close()
    assert flights.here.join("k", "id-3", "f").call_id == "id-3"
    flights.tick()
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE
    assert flights.there.join("k", "id-4", "f").call_id == "id-3"


def test_a_call_goes_on_while_it_has_members(flights: Flights) -> None:
    leads, joins = joined(flights)
    assert leads.leave("id-1"), "another one shares it"
    flights.tick()
    assert leads.members == 1
    assert flights.here.join("k", "id-3", "f").call_id == "id-1"
    assert leads.leave("id-3")
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE


def test_when_the_last_member_leaves_nobody_can_join(flights: Flights) -> None:
    leads, joins = joined(flights)
    joins.leave("id-2")
    assert not leads.leave("id-1")
    assert leads.members == 0
    assert flights.there.join("k", "id-3", "f").call_id == "id-3"


def test_when_the_leader_left_first_the_others_end_it(flights: Flights) -> None:
    leads, joins = joined(flights)
    assert leads.leave("id-1")
    joins.leave("id-2")
    flights.tick()
    assert leads.members == 0
    assert flights.here.join("k", "id-3", "f").call_id == "id-3"


def test_a_call_that_is_given_up_is_taken_over_once(flights: Flights) -> None:
    leads, joins = joined(flights)
    also = flights.there.join("k", "id-3", "f")
    assert not joins.take_over("id-2"), "it has a leader"
    leads.append("half")
    leads.leave("id-1")
    leads.give_up()
    assert joins.wait_completed(WAIT_S) is None
    assert joins.lost
    assert [joins.take_over("id-2"), also.take_over("id-3")] == [True, False]
    assert (joins.lost, joins.text_after(0), joins.call_id) == (False, "", "id-1")
    late = flights.here.join("k", "id-4", "f")
    assert late.call_id == "id-1", "it is the same call"
    joins.append("ab")
    joins.complete(DONE)
    assert also.wait_completed(WAIT_S) == late.wait_completed(WAIT_S) == DONE
    assert late.text_after(0) == "ab"


def test_who_could_not_make_it_gives_it_to_another(flights: Flights) -> None:
    leads, joins = joined(flights)
    also, far = flights.there.join("k", "id-3", "f"), flights.here.join("k", "id-4", "f")
    leads.leave("id-1")
    leads.give_up()
    assert joins.wait_completed(WAIT_S) is None
    assert joins.take_over("id-2")
    assert not far.take_over("id-4"), "the other one leads it"
    joins.give_up()
    joins.leave("id-2")
    assert also.wait_completed(WAIT_S) is None
    assert (also.lost, also.take_over("id-2")) == (True, False), "who left cannot"
    assert also.take_over("id-3")
    also.complete(DONE)
    assert end_of(far, "id-4") == DONE


def test_who_has_left_cannot_take_it_over(flights: Flights) -> None:
    leads, joins = joined(flights)
    joins.leave("id-2")
    leads.give_up()
    assert not joins.take_over("id-2")
