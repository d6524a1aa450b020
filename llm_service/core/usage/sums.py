"""Sums of usage.

Sums contain what is known. Generations with unknown tokens or an unknown price are counted separately, never as 0.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal

from .pricing import ZERO_USD, normalize_usd

# Bucket 0 is below 1 ms. Each further bucket is 19 % wider than the one before: four to a doubling.
BUCKETS_PER_DOUBLING = 4


class GroupBy(StrEnum):
    """What the lines of a report are. `hour` is for charts of one day; the API offers the others."""

    HOUR = "hour"
    DAY = "day"
    TEMPLATE = "template"
    REVISION = "revision"
    MODEL = "model"
    PROVIDER = "provider"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over generations.

    Tokens without `saved_` are billed: they belong to calls that these generations made to the provider. `saved_` ones
    came from the cache or from a shared call. `latencies` counts the answers of models by bucket (`bucket_of`).
    `unknown_usage` counts generations whose tokens and cost are not, or not completely, in the sums. `unknown_price`
    counts those whose tokens are in the sums and whose cost is not.
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
    cost_usd: Decimal = ZERO_USD
    saved_usd: Decimal = ZERO_USD
    latencies: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Sequence["Signed"]) -> "UsageSums":
        """The sum of the parts; those with the sign -1 are subtracted."""
        if len(parts) == 1 and parts[0][0] == 1:
            return parts[0][1]
        sums = [0] * len(COUNTS)
        cost_usd, saved_usd = ZERO_USD, ZERO_USD
        latencies: dict[int, int] = {}
        for sign, part in parts:
            sums = [total + sign * count for total, count in zip(sums, _counts_of(part), strict=True)]
            cost_usd += sign * part.cost_usd
            saved_usd += sign * part.saved_usd
            for bucket, answers in part.latencies.items():
                latencies[bucket] = latencies.get(bucket, 0) + sign * answers
        counts: dict[str, Any] = dict(zip(COUNTS, sums, strict=True))
        return cls(**counts, cost_usd=cost_usd, saved_usd=saved_usd, latencies=latencies)

    def latency_ms(self, share: float) -> int | None:
        """The latency quantile `share` (0.5 = the median), to about 10 %; None = no answers."""
        rank, before = share * sum(self.latencies.values()), 0
        for bucket in sorted(self.latencies):
            count = self.latencies[bucket]
            if count and before + count >= rank:
                low, high = _edge_ms(bucket), _edge_ms(bucket + 1)
                return round(low + (high - low) * (rank - before) / count)
            before += count
        return None


Signed = tuple[Literal[1, -1], UsageSums]
COUNTS = tuple(count.name for count in fields(UsageSums) if count.type is int)
_counts_of = attrgetter(*COUNTS)


def bucket_of(latency_ms: int) -> int:
    return 0 if latency_ms < 1 else 1 + math.floor(BUCKETS_PER_DOUBLING * math.log2(latency_ms))


def _edge_ms(bucket: int) -> float:
    """The lower edge of a bucket."""
    return 0.0 if bucket == 0 else 2 ** ((bucket - 1) / BUCKETS_PER_DOUBLING)


@dataclass(frozen=True, slots=True)
class UsageLine:
    """`key` follows `GroupBy`: an hour or day since 1970, a template's id with or without its revision, a name."""

    key: tuple[str | int, ...]
    sums: UsageSums


def total_of(sums: Iterable[UsageSums]) -> UsageSums:
    total = UsageSums.of([(1, part) for part in sums])
    return replace(total, cost_usd=normalize_usd(total.cost_usd), saved_usd=normalize_usd(total.saved_usd))
