"""Five wrong keys a minute from one address, then it waits; nobody else does."""

import pytest

from llm_service.core.access.failed_logins import (
    MAX_BLOCKED,
    MAX_FAILURES,
    WINDOW_MS,
    FailedLoginThrottle,
    network_of,
)
from llm_service.core.access.lookups import MAX_LOOKUPS
from llm_service.core.errors import Overloaded
from tests.support.access import MemoryFailedLogins
from tests.support.clocks import ManualClock


class Throttled:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryFailedLogins()
        self.throttle = FailedLoginThrottle(self.store, self.clock)

    def wrong(self, times: int, address: str = "10.0.0.1") -> list[float | None]:
        return [self.throttle.record_failure(address) for _ in range(times)]


@pytest.fixture(name="throttled")
def _throttled() -> Throttled:
    return Throttled()


def test_the_sixth_waits_until_the_window_ends(throttled: Throttled) -> None:
    assert throttled.wrong(MAX_FAILURES) == [None] * MAX_FAILURES
    assert throttled.wrong(2) == [60.0, 60.0]
    throttled.clock.ms += 20_000
    assert throttled.wrong(1) == [40.0]
    assert throttled.wrong(1, "10.0.0.2") == [None]
    throttled.clock.ms += 40_000
    assert throttled.wrong(1) == [None]


def test_nobody_waits_for_less_than_a_second(throttled: Throttled) -> None:
    throttled.wrong(MAX_FAILURES + 1)
    throttled.clock.ms += WINDOW_MS - 1
    assert throttled.wrong(1) == [1.0]


def test_a_flood_costs_no_writes(throttled: Throttled) -> None:
    throttled.wrong(1000)
    assert throttled.store.writes == MAX_FAILURES + 1


def test_the_count_is_shared_and_what_is_remembered_is_not(throttled: Throttled) -> None:
    throttled.wrong(MAX_FAILURES + 1)
    other = FailedLoginThrottle(throttled.store, throttled.clock)
    assert other.record_failure("10.0.0.1") == 60.0


def test_addresses_of_one_ipv6_network_are_one(throttled: Throttled) -> None:
    found = [throttled.wrong(1, f"2001:db8:1:2::{number}")[0] for number in range(1, 8)]
    assert [wait is None for wait in found] == [True] * 5 + [False] * 2
    assert throttled.wrong(1, "2001:db8:1:3::1") == [None]


def test_what_is_remembered_does_not_grow_without_end(throttled: Throttled) -> None:
    for number in range(MAX_BLOCKED + 1):
        throttled.wrong(MAX_FAILURES + 1, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    writes = throttled.store.writes
    assert throttled.wrong(1, "10.0.0.0") == [60.0], "it was forgotten here, and the store has it"
    assert throttled.store.writes == writes + 1


def test_windows_that_are_over_are_forgotten(throttled: Throttled) -> None:
    throttled.wrong(1)
    throttled.clock.ms += WINDOW_MS
    throttled.throttle.prune()
    assert len(throttled.store.windows) == 1, "it is over only now"
    throttled.clock.ms += 1
    throttled.throttle.prune()
    assert throttled.store.windows == {}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("10.0.0.1, 10.0.0.2", "unknown"),
        ("x" * 10_000, "unknown"),
    ],
)
def test_the_name_of_an_address(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_a_flood_at_the_same_time_costs_no_writes_either(throttled: Throttled) -> None:
    """The count of each is still being written when the next comes."""
    waits: list[float | None] = []

    class Nested(MemoryFailedLogins):
        def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
            if not waits:
                waits.append(throttled.throttle.record_failure(address))
            return super().count(address, now_ms, window_ms)

    throttled.store = Nested()
    throttled.throttle = FailedLoginThrottle(throttled.store, throttled.clock)
    throttled.wrong(1)
    assert throttled.store.writes == MAX_FAILURES + 1
    assert waits[0] == 60.0
    throttled.clock.ms += WINDOW_MS
    assert throttled.wrong(1) == [None], "nothing is left of them"


def test_floods_from_many_addresses_write_few_at_once(throttled: Throttled) -> None:
    begun: list[str] = []
    refused: list[Overloaded] = []

    class Nested(MemoryFailedLogins):
        """Each count is being written while the next one begins."""

        def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
            if not refused:
                begun.append(address)
                try:
                    throttled.throttle.record_failure(f"10.0.1.{len(begun)}")
                except Overloaded as error:
                    refused.append(error)
            return super().count(address, now_ms, window_ms)

    throttled.store = Nested()
    throttled.throttle = FailedLoginThrottle(throttled.store, throttled.clock)
    throttled.wrong(1)
    assert throttled.store.writes == MAX_LOOKUPS
    assert refused[0].retry_after_s == 1
    assert throttled.wrong(1, "10.0.2.1") == [None], "all have been written"
