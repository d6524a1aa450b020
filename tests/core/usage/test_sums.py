"""Sums over generations: they add up, say what is not known, and keep latencies in buckets."""

from decimal import Decimal
from typing import Any

import pytest

from llm_service.core.usage.sums import COUNTS, UsageSums, bucket_of, total_of

CALL = UsageSums(requests=1, completed=1, input_tokens=10, output_tokens=5, cost_usd=Decimal("0.25"), latencies={3: 1})
HIT = UsageSums(requests=1, hits=1, completed=1, saved_input_tokens=10, saved_usd=Decimal("0.25"), unknown_price=1)


def test_sums_add_up_field_by_field() -> None:
    assert UsageSums.of([(1, CALL), (1, HIT), (1, UsageSums(latencies={3: 2, 9: 1}))]) == UsageSums(
        requests=2, hits=1, completed=2, input_tokens=10, output_tokens=5, saved_input_tokens=10, unknown_price=1,
        cost_usd=Decimal("0.25"), saved_usd=Decimal("0.25"), latencies={3: 3, 9: 1},
    )  # fmt: skip


def counts(each: int) -> dict[str, Any]:
    return dict.fromkeys(COUNTS, each)


def test_every_count_is_added() -> None:
    """A new field that `of` forgets would be lost in every report."""
    ones = UsageSums(**counts(1), cost_usd=Decimal(1), saved_usd=Decimal(1))
    twos = UsageSums(**counts(2), cost_usd=Decimal(2), saved_usd=Decimal(2))
    assert UsageSums.of([(1, ones), (1, ones)]) == twos
    assert len(COUNTS) >= 16


def test_what_is_taken_away_leaves_nothing() -> None:
    left = UsageSums.of([(1, CALL), (-1, CALL)])
    assert left == UsageSums(latencies={3: 0})
    assert left.latency_ms(0.5) is None


def test_a_total_is_plain() -> None:
    assert total_of([]) == UsageSums()
    cost = total_of([CALL, CALL, CALL, CALL]).cost_usd
    assert f"{cost:f}" == "1"


def test_buckets_grow_with_the_latency() -> None:
    buckets = [bucket_of(latency_ms) for latency_ms in range(5_000)]
    assert buckets == sorted(buckets)
    assert (bucket_of(0), bucket_of(1), bucket_of(2), bucket_of(1024)) == (0, 1, 5, 41)


@pytest.mark.parametrize("latency_ms", [0, 1, 2, 7, 100, 999, 5_000, 119_999])
def test_a_latency_comes_back_to_about_a_tenth(latency_ms: int) -> None:
    sums = UsageSums(latencies={bucket_of(latency_ms): 1})
    found = sums.latency_ms(0.5)
    assert found is not None
    assert abs(found - latency_ms) <= max(1, latency_ms * 0.1)


def test_shares_of_latencies() -> None:
    sums = UsageSums(latencies={bucket_of(100): 90, bucket_of(8_000): 10})
    assert 90 <= (sums.latency_ms(0.5) or 0) <= 108
    assert 6_800 <= (sums.latency_ms(0.95) or 0) <= 8_200
    assert UsageSums().latency_ms(0.5) is None
    assert UsageSums(latencies={3: 0}).latency_ms(0.95) is None
