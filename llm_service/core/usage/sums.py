"""What generations used, added up.

A sum says what is known. Generations whose tokens or price nobody knows are counted beside it, never as 0.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum

from .pricing import NOTHING, plain

# Bucket 0 is below a millisecond; from there each is a fifth wider than the one before, four to a doubling.
BUCKETS_PER_DOUBLING = 4


class GroupBy(StrEnum):
    """What the lines of a report are. `hour` is for charts of a day; the API has the others."""

    HOUR = "hour"
    DAY = "day"
    TEMPLATE = "template"
    REVISION = "revision"
    MODEL = "model"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over generations.

    Tokens without `saved_` are billed ones: those of calls that these generations made to the provider. `saved_` ones came
    from the cache or from another's call. `latencies` counts the answers that a model gave, by bucket (`bucket_of`).
    `unknown_usage`: the tokens, and so the money, of that many are not in the sums, or not whole. `unknown_price`: the
    tokens of that many are in the sums, and their money is not.
    """

    requests: int = 0
    hits: int = 0
    joined: int = 0
    completed: int = 0
    incomplete: int = 0
    failed: int = 0
    cancelled: int = 0
    interrupted: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    unknown_usage: int = 0
    unknown_price: int = 0
    cost_usd: Decimal = NOTHING
    saved_usd: Decimal = NOTHING
    latencies: Mapping[int, int] = field(default_factory=dict)

    def plus(self, other: "UsageSums", sign: int = 1) -> "UsageSums":
        """Both together; with `sign` -1, without the other."""
        both = {name: getattr(self, name) + sign * getattr(other, name) for name in (*COUNTS, "cost_usd", "saved_usd")}
        latencies = dict(self.latencies)
        for bucket, count in other.latencies.items():
            latencies[bucket] = latencies.get(bucket, 0) + sign * count
        return UsageSums(**both, latencies=latencies)

    def latency_ms(self, share: float) -> int | None:
        """The time within which that share of the answers came, to about a tenth; None = there were none."""
        rank, before = share * sum(self.latencies.values()), 0
        for bucket in sorted(self.latencies):
            count = self.latencies[bucket]
            if count and before + count >= rank:
                low, high = _edge_ms(bucket), _edge_ms(bucket + 1)
                return round(low + (high - low) * (rank - before) / count)
            before += count
        return None


COUNTS = tuple(one.name for one in fields(UsageSums) if one.type is int)


def bucket_of(latency_ms: int) -> int:
    return 0 if latency_ms < 1 else 1 + math.floor(BUCKETS_PER_DOUBLING * math.log2(latency_ms))


def _edge_ms(bucket: int) -> float:
    """Where a bucket begins."""
    return 0.0 if bucket == 0 else 2 ** ((bucket - 1) / BUCKETS_PER_DOUBLING)


@dataclass(frozen=True, slots=True)
class UsageLine:
    """`key` is what `GroupBy` says: an hour or a day since 1970, a template's id with or without its revision, a name."""

    key: tuple[str | int, ...]
    sums: UsageSums


def total_of(sums: Iterable[UsageSums]) -> UsageSums:
    total = UsageSums()
    for one in sums:
        total = total.plus(one)
    return replace(total, cost_usd=plain(total.cost_usd), saved_usd=plain(total.saved_usd))
