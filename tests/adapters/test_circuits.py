"""The circuit breakers, by a clock of ours."""

import pytest

from llm_service.adapters.providers.circuit_breaker import MIN_ATTEMPTS, OPEN_S, WINDOW_S, CircuitBreaker
from llm_service.adapters.providers.circuits import Circuits
from llm_service.core import errors
from tests.support.clocks import HandTimer


def attempts(breaker: CircuitBreaker, *, failed: int = 0, answered: int = 0) -> None:
    for number in range(failed + answered):
        breaker.record(failed=number >= answered, probe=breaker.admit())


@pytest.mark.parametrize(
    ("failed", "answered", "opens"),
    [
        (MIN_ATTEMPTS - 1, 0, False),
        (MIN_ATTEMPTS, 0, True),
        (16, 4, True),
        (15, 5, False),
        (79, 21, False),
        (80, 20, True),
    ],
)
def test_the_circuit_opens_when_nearly_all_of_enough_attempts_fail(failed: int, answered: int, opens: bool) -> None:
    breaker = CircuitBreaker(HandTimer(1000))
    attempts(breaker, failed=failed, answered=answered)
    assert (breaker.state == "open") is opens


def test_what_is_long_ago_does_not_count() -> None:
    clock = HandTimer(1000)
    breaker = CircuitBreaker(clock)
    attempts(breaker, failed=MIN_ATTEMPTS - 1)
    clock.now += WINDOW_S + 2
    attempts(breaker, failed=1)
    assert breaker.state == "closed"


@pytest.mark.parametrize("recovers", [True, False])
def test_one_probe_decides(recovers: bool) -> None:
    clock = HandTimer(1000)
    breaker = CircuitBreaker(clock)
    attempts(breaker, failed=MIN_ATTEMPTS)
    with pytest.raises(errors.UpstreamUnavailable) as raised:
        breaker.admit()
    assert raised.value.retry_after_s == pytest.approx(OPEN_S)
    clock.now += OPEN_S
    assert breaker.admit() is True
    with pytest.raises(errors.UpstreamUnavailable):
        breaker.admit()
    breaker.record(failed=not recovers, probe=True)
    assert breaker.state == ("closed" if recovers else "open")


def test_a_probe_that_was_called_off_leaves_its_place() -> None:
    clock = HandTimer(1000)
    breaker = CircuitBreaker(clock)
    attempts(breaker, failed=MIN_ATTEMPTS)
    clock.now += OPEN_S
    breaker.forget(probe=breaker.admit())
    assert breaker.admit() is True


def fail(circuits: Circuits, model: str, number: int = MIN_ATTEMPTS) -> None:
    for _ in range(number):
        circuits.admit(model).failed()


def disconnect(circuits: Circuits, model: str, number: int = MIN_ATTEMPTS) -> None:
    for _ in range(number):
        circuits.admit(model).not_connected()


def test_a_failing_model_is_not_called_and_the_others_are() -> None:
    circuits = Circuits(HandTimer(1000))
    fail(circuits, "bad")
    with pytest.raises(errors.UpstreamUnavailable):
        circuits.admit("bad")
    circuits.admit("good").answered()
    assert circuits.states() == {"bad": "open", "good": "closed"}
    assert (circuits.state, circuits.fault({})) == ("open", "bad fails; its circuit is open.")


def test_where_no_connection_can_be_made_no_model_is_called() -> None:
    clock = HandTimer(1000)
    circuits = Circuits(clock)
    disconnect(circuits, "a", MIN_ATTEMPTS // 2)
    disconnect(circuits, "b", MIN_ATTEMPTS // 2)
    for model in ("a", "b", "c"):
        with pytest.raises(errors.UpstreamUnavailable):
            circuits.admit(model)
    assert (circuits.state, circuits.fault({})) == ("open", "It fails; the circuit is open.")
    clock.now += OPEN_S
    assert set(circuits.states().values()) == {"half-open"}
    circuits.admit("a").answered()
    assert set(circuits.states().values()) == {"closed"}
    assert circuits.fault({}) is None


def test_answers_of_any_model_are_good_connections() -> None:
    circuits = Circuits(HandTimer(1000))
    for _ in range(6):
        circuits.admit("good").answered()
    disconnect(circuits, "other", 23)
    assert circuits.state == "closed", "23 of 29 are less than four of five"
    disconnect(circuits, "other", 1)
    assert circuits.state == "open"


def test_a_probe_that_finds_the_provider_but_not_the_model() -> None:
    clock = HandTimer(1000)
    circuits = Circuits(clock)
    disconnect(circuits, "a")
    clock.now += OPEN_S
    circuits.admit("a").failed()
    assert circuits.states() == {"a": "closed"}, "one failure does not open the model's"


@pytest.mark.parametrize("end", ["not_connected", "postponed", "stopped"])
def test_a_probe_of_a_model_that_says_nothing_of_it_leaves_its_place(end: str) -> None:
    clock = HandTimer(1000)
    circuits = Circuits(clock)
    fail(circuits, "a")
    clock.now += OPEN_S
    probe = circuits.admit("a")
    with pytest.raises(errors.UpstreamUnavailable):
        circuits.admit("a")
    getattr(probe, end)()
    circuits.admit("a").answered()
    assert circuits.states() == {"a": "closed"}


def test_one_probe_of_the_connection_for_all_models() -> None:
    clock = HandTimer(1000)
    circuits = Circuits(clock)
    fail(circuits, "a")
    disconnect(circuits, "b", 80)
    clock.now += OPEN_S
    probe = circuits.admit("b")
    with pytest.raises(errors.UpstreamUnavailable):
        circuits.admit("a")
    probe.stopped()
    circuits.admit("a").answered()
    assert circuits.state == "closed", "the refused probe of the model had left its place"


def test_an_admitted_attempt_costs_no_object_while_nothing_is_wrong() -> None:
    circuits = Circuits(HandTimer(1000))
    assert circuits.admit("a") is circuits.admit("a")
