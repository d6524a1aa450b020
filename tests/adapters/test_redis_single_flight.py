"""Shared calls through a real Redis: what they cost, and what happens when a process or Redis itself is gone.

Longer than other modules: all share one server.
"""

import threading
from collections.abc import Iterator

import pytest
import redis

from llm_service.adapters.redis.call_results import ResultUnknown, WholeResult, dump_result, load_result
from llm_service.adapters.redis.flight_scripts import Flight, FlightScripts
from llm_service.core.generation.model import CallResult, Done, Status
from llm_service.core.generation.ports import SharedCall
from llm_service.core.usage.tokens import Usage
from llm_service.core.wake_ups import Topic
from tests.support.clocks import until
from tests.support.flights import Machines, Process
from tests.support.redis_server import RedisServer, running_redis

WAIT_S = 30.0
DONE = CallResult(Done(Status.COMPLETED, "ab", Usage(1, 2, 3), "m1"))


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="machines")
def _machines(server: RedisServer) -> Iterator[Machines]:
    with server.client() as observer:
        observer.flushall()
    machines = Machines(server)
    yield machines
    machines.close()


@pytest.fixture(name="own_server")
def _own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that a test may end."""
    with running_redis(tmp_path_factory.mktemp("own")) as server:
        yield server


def joined(machines: Machines) -> tuple[Process, SharedCall, Process, SharedCall]:
    """A call that `id-1` leads in one process, and `id-2` has joined in another one."""
    here, there = machines.process(), machines.process()
    return here, here.flight.join("k", "id-1", "f"), there, there.flight.join("k", "id-2", "f")


def keys(server: RedisServer) -> list[str]:
    with server.client() as observer:
        return sorted(observer.keys("llms:*"))


def expire(server: RedisServer, call_id: str) -> None:
    """The lease of this call runs out: its leader's process is dead."""
    with server.client() as observer:
        (state,) = observer.keys(f"llms:*:call:{call_id}")
        observer.hset(state, "until", 0)


def test_a_call_that_nobody_else_wants_costs_two_round_trips(machines: Machines, server: RedisServer) -> None:
    """And none for each further member of its process. The first ones load the scripts."""
    process = machines.process()
    process.flight.join("warm", "id-0", "f").complete(DONE)

    def begin_and_end() -> None:
        call = process.flight.join("k", "id-1", "f")
        process.flight.join("k", "id-2", "f")
        call.mark_shown()
        call.append("a")
        call.append("b")
        call.complete(DONE)
        call.leave("id-2")
        call.leave("id-1")

    assert machines.trips(begin_and_end) == ["cmdstat_evalsha"] * 2
    assert not [key for key in keys(server) if "call" in key or "text" in key or "result" in key], "nothing is left"


def test_no_text_is_written_while_nobody_elsewhere_wants_it(machines: Machines, server: RedisServer) -> None:
    _, leads, there, joins = joined(machines)
    leads.append("a")
    there.flight.tick()
    assert not [key for key in keys(server) if ":text:" in key]
    joins.mark_shown()
    until(lambda: joins.text_after(0) == "a")
    assert len([key for key in keys(server) if ":text:" in key]) == 1


def test_a_text_that_was_asked_for_in_vain_comes_after_a_renewal(machines: Machines) -> None:
    """The message was lost."""
    here, leads, there, joins = joined(machines)
    there.flight.ask_for_text = lambda _: None
    joins.mark_shown()
    leads.append("a")
    there.flight.tick()
    here.flight.tick()
    until(lambda: joins.text_after(0) == "a")


def test_all_keys_expire(machines: Machines, server: RedisServer) -> None:
    _, leads, there, joins = joined(machines)
    joins.mark_shown()
    leads.append("a")
    until(lambda: joins.text_after(0) == "a")
    there.flight.tick()
    with server.client() as observer:
        assert {key: observer.pttl(key) > 0 for key in keys(server)} == dict.fromkeys(keys(server), True)
        leads.complete(DONE)
        assert joins.wait_completed(WAIT_S) == DONE
        assert {key: observer.pttl(key) > 0 for key in keys(server)} == dict.fromkeys(keys(server), True)


def test_a_lease_that_runs_out_is_taken_over_by_one(machines: Machines, server: RedisServer) -> None:
    _, _, there, joins = joined(machines)
    third = machines.process()
    also = third.flight.join("k", "id-3", "f")
    there.flight.tick()
    assert joins.wait_completed(0) is None
    assert not any(call.lost for call in (joins, also))
    expire(server, "id-1")
    there.flight.tick()
    third.flight.tick()
    assert all(call.lost for call in (joins, also))
    assert [joins.take_over("id-2"), also.take_over("id-3")] == [True, False]
    third.flight.tick()
    assert not any(call.lost for call in (joins, also))
    late = machines.process().flight.join("k", "id-4", "f")
    joins.complete(DONE)
    assert also.wait_completed(WAIT_S) == late.wait_completed(WAIT_S) == DONE


def test_who_joins_a_lost_call_takes_it_over_at_once(machines: Machines, server: RedisServer) -> None:
    joined(machines)
    expire(server, "id-1")
    late = machines.process().flight.join("k", "id-3", "f")
    assert late.wait_completed(WAIT_S) is None
    assert late.take_over("id-3")


def test_a_leader_that_was_silent_for_too_long_serves_its_own_members_only(
    machines: Machines, server: RedisServer
) -> None:
    here, leads, there, joins = joined(machines)
    mine = here.flight.join("k", "id-3", "f")
    joins.mark_shown()
    leads.append("old")
    until(lambda: joins.text_after(0) == "old")
    expire(server, "id-1")
    there.flight.tick()
    assert joins.take_over("id-2")
    joins.append("new")
    here.flight.tick()
    leads.append(" and more")
    other = CallResult(Done(Status.COMPLETED, "old and more", Usage(), "m1"))
    leads.complete(other)
    assert mine.wait_completed(WAIT_S) == other
    assert joins.wait_completed(0) is None
    late = machines.process().flight.join("k", "id-4", "f")
    late.mark_shown()
    until(lambda: late.text_after(0) == "new")
    joins.complete(DONE)
    assert late.wait_completed(WAIT_S) == DONE


def test_a_text_begins_anew_when_another_process_takes_over(machines: Machines, server: RedisServer) -> None:
    _, leads, there, joins = joined(machines)
    third = machines.process()
    also = third.flight.join("k", "id-3", "f")
    also.mark_shown()
    leads.append("old")
    until(lambda: also.text_after(0) == "old")
    before = also.restarts
    expire(server, "id-1")
    there.flight.tick()
    assert joins.take_over("id-2")
    joins.append("new")
    third.flight.tick()
    until(lambda: also.text_after(0) == "new")
    assert also.restarts == before + 1


def test_who_joins_while_the_last_member_leaves_misses_nothing(machines: Machines) -> None:
    """Both follow the call of another process, one after the other, or for a moment together."""
    here, there = machines.process(), machines.process()
    again = list[SharedCall]()

    class SlowToLeave(FlightScripts):
        """Another request arrives before Redis hears that the last one has left."""

        def leave(self, flight: Flight) -> int:
            again.append(there.flight.join("k", "id-3", "f"))
            return super().leave(flight)

    there.flight.scripts = SlowToLeave(there.client, there.scripts.process)
    leads, joins = here.flight.join("k", "id-1", "f"), there.flight.join("k", "id-2", "f")
    joins.leave("id-2")
    again[0].mark_shown()
    leads.append("a")
    until(lambda: again[0].text_after(0) == "a")
    there.flight.tick()
    leads.complete(DONE)
    assert again[0].wait_completed(WAIT_S) == DONE


def test_members_of_dead_processes_are_gone(machines: Machines, server: RedisServer) -> None:
    here, leads, _, _ = joined(machines)
    assert leads.leave("id-1")
    here.flight.tick()
    assert leads.members == 1
    with server.client() as observer:
        (state,) = observer.keys("llms:*:call:id-1")
        (member,) = [field for field in observer.hkeys(state) if field.startswith("m:")]
        observer.hset(state, member, 0)
    here.flight.tick()
    assert leads.members == 0


def test_after_everything_is_lost_the_members_find_each_other_again(machines: Machines, server: RedisServer) -> None:
    here, leads, there, joins = joined(machines)
    joins.mark_shown()
    leads.append("a")
    until(lambda: joins.text_after(0) == "a")
    with server.client() as observer:
        observer.flushall()
    for process in (there, here):
        process.flight.tick()
    assert not joins.lost
    assert machines.process().flight.join("k", "id-3", "f").call_id == "id-1"
    leads.append("b")
    until(lambda: joins.text_after(0) == "ab")
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE


def test_an_end_just_after_everything_is_lost_still_arrives(machines: Machines, server: RedisServer) -> None:
    _, leads, _, joins = joined(machines)
    with server.client() as observer:
        observer.flushall()
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE


@pytest.mark.parametrize("garbage", [b"", b"x", b"[]", b'{"version": 99}'])
def test_an_end_that_cannot_be_read_is_none(machines: Machines, server: RedisServer, garbage: bytes) -> None:
    """The call is made again."""
    _, leads, there, joins = joined(machines)
    there.reader.close()
    leads.complete(DONE)
    with server.client() as observer:
        (result,) = observer.keys("llms:*:result:id-1")
        observer.set(result, garbage)
    there.flight.tick()
    assert joins.wait_completed(WAIT_S) is None
    assert joins.take_over("id-2")


def test_a_call_in_a_form_that_is_not_known_is_not_joined(machines: Machines, server: RedisServer) -> None:
    here, leads, *_ = joined(machines)
    with server.client() as observer:
        (state,) = observer.keys("llms:*:call:id-1")
        observer.delete(state)
        observer.set(state, "x")
    third = machines.process()
    assert third.flight.join("k", "id-3", "f").call_id == "id-3"
    here.flight.tick()
    leads.complete(DONE)
    assert leads.wait_completed(0) == DONE
    assert [type(error) for error in third.reporter.errors] == [redis.exceptions.ResponseError], "it is reported"


def test_who_follows_does_not_wait_for_a_redis_that_refuses_to_write(own_server: RedisServer) -> None:
    machines = Machines(own_server)
    _, leads, there, joins = joined(machines)
    with own_server.client() as observer:
        observer.config_set("maxmemory", 1)
    lost = []
    for _ in range(3):
        there.flight.tick()
        lost.append(joins.lost)
    assert lost == [False, False, True]
    assert joins.take_over("id-2")
    joins.complete(DONE)
    leads.complete(DONE)
    assert joins.wait_completed(0) == leads.wait_completed(0) == DONE
    machines.close()


def test_without_redis_the_calls_of_a_process_are_shared(own_server: RedisServer) -> None:
    machines = Machines(own_server)
    own_server.kill()
    here, there = machines.process(), machines.process()
    leads, joins = here.flight.join("k", "id-1", "f"), here.flight.join("k", "id-2", "f")
    assert (leads.call_id, joins.call_id) == ("id-1", "id-1")
    assert there.flight.join("k", "id-3", "f").call_id == "id-3"
    here.flight.tick()
    assert leads.leave("id-1")
    leads.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE
    machines.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_when_redis_goes_away_who_leads_goes_on_and_each_other_process_makes_one_call(
    own_server: RedisServer, how: str
) -> None:
    machines = Machines(own_server)
    here, leads, there, joins = joined(machines)
    also = there.flight.join("k", "id-3", "f")
    getattr(own_server, how)()
    for process in (here, there):
        process.flight.tick()
    assert not leads.lost
    assert joins.wait_completed(WAIT_S) is None
    assert [also.take_over("id-3"), joins.take_over("id-2")] == [True, False]
    also.complete(DONE)
    assert joins.wait_completed(WAIT_S) == DONE
    leads.complete(DONE)
    assert leads.wait_completed(0) == DONE
    machines.close()


@pytest.mark.slow
def test_a_leader_is_found_again_when_redis_is_back(own_server: RedisServer) -> None:
    machines = Machines(own_server)
    here = machines.process()
    here.flight.join("k", "id-1", "f")
    own_server.kill()
    here.flight.tick()
    here.flight.join("other", "id-3", "f")
    own_server.start()

    def is_back() -> bool:
        here.client.tick()
        return here.client.available

    until(is_back)
    here.flight.tick()
    there = machines.process()
    assert there.flight.join("k", "id-2", "f").call_id == "id-1"
    assert there.flight.join("other", "id-4", "f").call_id == "id-3", "also one that began without it"
    machines.close()


def test_the_text_of_a_generation_of_another_process_is_seen_while_it_grows(machines: Machines) -> None:
    here, there = machines.process(), machines.process()
    runs = here.flight.join(None, "id-1", "f")
    here.wake_ups.on(Topic.TEXT, lambda request_id: here.texts.wanted(request_id, runs))
    seen, also = there.texts.follow("id-1"), there.texts.follow("id-1")
    changed = threading.Event()
    seen.watch(changed)
    runs.append("a")
    until(lambda: seen.text_after(0) == "a")
    runs.append("b")
    until(lambda: also.text_after(0) == "ab")
    assert changed.is_set()
    also.close()
    runs.append("c")
    until(lambda: seen.text_after(0) == "abc")
    assert not seen.ended
    runs.complete(DONE)
    until(lambda: seen.ended)
    seen.close()


def test_a_result_of_another_kind_or_version_is_unknown() -> None:
    stored = dump_result(WholeResult(DONE, "ab"))
    assert load_result(stored) == WholeResult(DONE, "ab")
    for wrong in (
        None,
        7,
        stored.replace(b'"version":1', b'"version":2'),
        stored.replace(b"completed", b"unheard-of"),
        b'{"version":1,"result":{}}',
        b'{"version":1,"result":{"failure":{"kind":"Unheard","detail":""}},"text":""}',
        b"\xff",
    ):
        with pytest.raises(ResultUnknown):
            load_result(wrong)


def test_a_call_that_ends_while_it_is_renewed_leaves_nothing(machines: Machines, server: RedisServer) -> None:
    """Its renewal reaches Redis after its end. Who asks then would wait for a call that is over."""
    first, second = machines.process(), machines.process()
    call = first.flight.join("key", "a", "f")
    renewal = call.renewal()
    call.complete(DONE)
    (reply,) = first.scripts.renew([renewal])
    call.renewed(renewal, reply)
    assert keys(server) == []
    assert second.flight.join("key", "b", "f").call_id == "b"


def test_who_joined_a_call_that_ended_while_it_was_renewed_does_not_wait(machines: Machines) -> None:
    first, second = machines.process(), machines.process()
    call = first.flight.join("key", "a", "f")
    renewal = call.renewal()
    call.complete(DONE)
    (reply,) = first.scripts.renew([renewal])
    follower = second.flight.join("key", "b", "f")
    assert follower.call_id == "a"
    call.renewed(renewal, reply)
    until(lambda: follower.lost)
    assert follower.take_over("b")
