"""The models that were asked before the one that answered, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..usage.pricing import ZERO_USD
from ..usage.tokens import NO_TOKENS, Usage


@dataclass(frozen=True, slots=True)
class TriedModel:
    """A model that failed before another one was asked: why, and what its attempts cost.

    `error` is the code of the last attempt's error. `attempts` 0: its provider had no slot.
    """

    model: str
    provider: str
    error: str
    attempts: int = 0
    unreported: int = 0
    billed: Usage = NO_TOKENS
    cost_usd: Decimal | None = ZERO_USD

    def without_bill(self) -> "TriedModel":
        """For those who shared the call: they did not pay."""
        return TriedModel(self.model, self.provider, self.error)


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """With which of several models a call ended. `tried`: those before it, without their bills."""

    model: str
    provider: str
    cache_key: str
    tried: tuple[TriedModel, ...]


def tried_models(values: Sequence[Mapping[str, Any]]) -> tuple[TriedModel, ...]:
    """From the fields of each, as `asdict` and JSON leave them."""
    return tuple(
        TriedModel(
            **{
                **fields,
                "billed": Usage(**fields["billed"]),
                "cost_usd": None if fields["cost_usd"] is None else Decimal(fields["cost_usd"]),
            }
        )
        for fields in values
    )
