"""What tokens cost, in exact US dollars."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from .tokens import NO_TOKENS, NOT_REPORTED, Usage

ZERO_USD = Decimal(0)
MILLION = Decimal(1_000_000)
# The precision of amounts: one token at 0.000001 USD per million tokens.
PICO_USD = Decimal("1e-12")

# The price version of a cost that the provider itself reported.
REPORTED = "reported by the provider"

Tariff = Callable[[int, int, int], Decimal]
"""US dollars for input tokens, how many of them the provider had cached, and output tokens."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model. `version` (at most 40 characters) names the price list."""

    version: str
    tariff: Tariff

    def cost(self, usage: Usage) -> Decimal | None:
        """None if the usage is incomplete or contradicts itself.

        Input counts as not cached where the provider does not say.
        """
        into, cached, out = usage.input_tokens, usage.cached_input_tokens or 0, usage.output_tokens
        if into is None or out is None or cached > into:
            return None
        return normalize_usd(self.tariff(into, cached, out))

    def max_cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The maximum cost: nothing is cached."""
        return normalize_usd(self.tariff(input_tokens, 0, output_tokens))


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens and their cost; None = unknown. `price_version` is None if the cost is."""

    usage: Usage = NOT_REPORTED
    cost_usd: Decimal | None = None
    price_version: str | None = None

    @classmethod
    def of(cls, usage: Usage, price: Price | None, reported_usd: Decimal | None = None) -> "Bill":
        """`reported_usd`: what the provider itself says that it costs, which is what it will bill."""
        if reported_usd is not None:
            return cls(usage, normalize_usd(reported_usd), REPORTED)
        cost_usd = price.cost(usage) if price else None
        return cls(usage, cost_usd, price.version if price and cost_usd is not None else None)

    def plus(self, other: "Bill") -> "Bill":
        """The sum of both. An attempt with unknown usage adds nothing: the bill is what is known."""
        if self is NOTHING_YET:
            return other
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Bill(
            self.usage.plus(other.usage),
            normalize_usd(sum(costs, ZERO_USD)) if costs else None,
            other.price_version or self.price_version,
        )


# Of a call before its first report. Adding to it changes nothing.
NOTHING_YET = Bill()
# A cached answer or a shared call costs nothing.
NO_BILL = Bill(NO_TOKENS, ZERO_USD)


def per_million(input_usd: Decimal, cached_input_usd: Decimal, output_usd: Decimal) -> Tariff:
    """A tariff with prices per million tokens."""

    def tariff(into: int, cached: int, out: int) -> Decimal:
        return ((into - cached) * input_usd + cached * cached_input_usd + out * output_usd) / MILLION

    return tariff


def normalize_usd(amount: Decimal) -> Decimal:
    """Round to a trillionth of a dollar; no exponent and no trailing zeros: `0`, `0.00015`."""
    return Decimal(f"{amount.quantize(PICO_USD).normalize():f}")
