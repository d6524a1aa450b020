"""Prices of models: from the operator's file, else the public prices in the data of the `genai-prices` package.

Nothing is fetched. Importing `genai_prices` takes up to 0.3 s, so it is imported for the first model that is not in the
file (`warm`).
"""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from llm_service.core.usage.pricing import Price, Tariff, per_million

from ..strict_yaml import FileFormatError, Node, read_yaml

KEYS = ("input", "cached_input", "output")
MAX_FILE_BYTES = 1024 * 1024
MAX_USD_PER_MILLION = 10_000
# With six decimals the price of one token is exact in trillionths of a dollar.
_AMOUNT = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?", re.ASCII)


class PricesFileError(Exception):
    """The price file cannot be used; the message names the file, the line and the error."""


class ModelPrices:
    """Satisfies `Prices`. `own`: the result of `read_prices`. `public`: look up models that are not in it."""

    def __init__(self, own: Mapping[str, Price], *, public: bool) -> None:
        self._prices: dict[str, Price | None] = dict(own)
        self._public = public

    def of(self, model: str) -> Price | None:
        if model not in self._prices:
            self._prices[model] = _public_price(model) if self._public else None
        return self._prices[model]

    def warm(self) -> None:
        """Import `genai_prices` before a request needs it."""
        if self._public:
            _public_price("")


def read_prices(path: Path) -> dict[str, Price]:
    """The prices of a YAML or JSON file by model.

    Raises `PricesFileError` for the first error.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_FILE_BYTES:
            raise PricesFileError(f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB")
        models = read_yaml(data.decode(), 1).mapping("the file")
        version = f"{path.name[:31]} {hashlib.sha256(data).hexdigest()[:8]}"
        return {model: _own_price(model, node, version) for model, node in models.items()}
    except FileFormatError as error:
        raise PricesFileError(f"{path}:{error.line}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PricesFileError(f"{path}: cannot be read ({type(error).__name__})") from error


def _own_price(model: str, node: Node, version: str) -> Price:
    fields = node.mapping(model)
    for name, field in fields.items():
        if name not in KEYS:
            raise FileFormatError(f"{model}.{name} is unknown: a price has {', '.join(KEYS)}", field.line)
    for name in ("input", "output"):
        if name not in fields:
            raise FileFormatError(f"{model}.{name} is missing", node.line)
    amounts = {name: usd_per_million(f"{model}.{name}", field) for name, field in fields.items()}
    cached = amounts.get("cached_input", amounts["input"])
    if cached > amounts["input"]:
        raise FileFormatError(f"{model}.cached_input is more than input", fields["cached_input"].line)
    return Price(version, per_million(amounts["input"], cached, amounts["output"]))


def usd_per_million(where: str, node: Node) -> Decimal:
    """An amount of a file. `where` is its name in the error. Raises `FileFormatError`."""
    value = node.content
    # `repr` gives the digits as written, not the nearest binary fraction.
    text = f"{Decimal(repr(value)):f}" if type(value) in (int, float) else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text) or Decimal(text) > MAX_USD_PER_MILLION:
        raise FileFormatError(
            f"{where} must be US dollars per million tokens: 0 to {MAX_USD_PER_MILLION:,}, with at most 6 decimals",
            node.line,
        )
    return Decimal(text)


def _public_price(model: str) -> Price | None:
    import genai_prices

    def calculated(into: int, cached: int, out: int) -> Decimal:
        usage = genai_prices.Usage(input_tokens=into, cache_read_tokens=cached, output_tokens=out)
        return genai_prices.calc_price(usage, model).total_price

    try:
        free = calculated(0, 0, 0) == 0
    except LookupError:
        return None
    tariff: Tariff = calculated
    if free and _has_fixed_rates(model):
        tariff = per_million(
            calculated(1_000_000, 0, 0), calculated(1_000_000, 1_000_000, 0), calculated(0, 0, 1_000_000)
        )
    return Price(f"genai-prices {genai_prices.__version__}"[:40], tariff)


def _has_fixed_rates(model: str) -> bool:
    """Whether its rates depend on neither the time nor the length of the input. Then they are found once.

    A calculation by the package takes 60 us, twice for each answer: 7 % of a miss.
    """
    import genai_prices
    from genai_prices.types import ModelPrice, TieredPrices

    found = genai_prices.calc_price(genai_prices.Usage(), model)
    rates = vars(found.model_price).values()
    return isinstance(found.model.prices, ModelPrice) and not any(isinstance(rate, TieredPrices) for rate in rates)
