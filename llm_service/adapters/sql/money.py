"""Money in columns: integers in trillionths of a US dollar, which any database adds exactly."""

from decimal import Decimal

PICO = Decimal(10) ** 12


def to_pico(amount: Decimal | None) -> int | None:
    return None if amount is None else int((amount * PICO).to_integral_value())


def from_pico(amount: int | None) -> Decimal | None:
    """A plain decimal with no exponent and no trailing zeros: `0`, `0.00015`."""
    if amount is None:
        return None
    return Decimal(f"{Decimal(amount) / PICO:f}")
