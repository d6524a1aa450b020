"""What recent requests were made of: bounded, and forgotten after a minute."""

from llm_service.core.generation.recent import KEPT_S, MAX_CHARS, MAX_CHARS_OF_ONE, Recent
from tests.support.clocks import ManualClock


def test_it_is_forgotten_after_a_minute() -> None:
    clock = ManualClock()
    recent = Recent[str](clock)
    recent.put("key", "value", 5)
    assert recent.get("key") == "value"
    clock.advance(KEPT_S + 1)
    assert recent.get("key") is None
    recent.put("other", "value", 5)
    recent.expire()
    assert recent.get("other") == "value"


def test_what_is_too_long_is_not_kept() -> None:
    recent = Recent[str](ManualClock())
    recent.put("key", "value", MAX_CHARS_OF_ONE + 1)
    assert recent.get("key") is None


def test_all_together_are_bounded_also_by_their_number() -> None:
    recent = Recent[int](ManualClock())
    for number in range(10_000):
        recent.put(number, number, 0)
    kept = [number for number in range(10_000) if recent.get(number) is not None]
    assert kept == list(range(10_000 - MAX_CHARS // 1000, 10_000)), "the newest"


def test_what_is_put_again_counts_once() -> None:
    recent = Recent[int](ManualClock())
    for _ in range(10_000):
        recent.put("key", 1, 0)
    recent.put("other", 2, 0)
    assert (recent.get("key"), recent.get("other")) == (1, 2)
