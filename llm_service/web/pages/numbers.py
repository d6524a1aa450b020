"""Numbers as the pages show them."""

from decimal import Decimal


def bound(value: float) -> str:
    """All digits, and no exponent: `1,000,000`, `0.00001`."""
    return f"{Decimal(repr(value)):,f}"


def exact_usd(amount: Decimal | None) -> str:
    """`$0.00015`; a dash if unknown, never 0."""
    return "–" if amount is None else f"${amount:,f}"


def usd(amount: float | Decimal) -> str:
    """`$1,234.50`, `$0.12`, `$0.00042`: to the cent, and amounts below ten cents to two digits."""
    value = Decimal(str(amount))
    if not value:
        return "$0"
    decimals = max(2, 1 - value.adjusted())
    whole, fraction = f"{value:,.{decimals}f}".split(".")
    return f"${whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def compact(number: float) -> str:
    """`980`, `1.2k`, `34M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            scaled = number / size
            return (f"{scaled:.1f}".removesuffix(".0") if scaled < 100 else f"{scaled:.0f}") + unit
    return f"{number:.1f}".removesuffix(".0")


def percent(share: float | None) -> str:
    """`25%`, and small shares with a decimal: `0.4%`."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}".removesuffix(".0") + "%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


def change(now: float | Decimal | None, before: float | Decimal | None) -> str:
    """`+12%`, `−8%`, `×14`; empty if there is nothing to compare with."""
    if now is None or not before:
        return ""
    ratio = float(now) / float(before)
    if ratio >= 10:
        return f"×{compact(round(ratio))}"
    return f"{ratio - 1:+.0%}".replace("-", "−").replace("+0%", "±0%").replace("−0%", "±0%")


def milliseconds(duration_ms: float | None) -> str:
    """`84 ms`, `1.2 s`."""
    if duration_ms is None:
        return "–"
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s".replace(".0 s", " s")
