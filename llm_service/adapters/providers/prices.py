"""Prices of models: the operator's own, else the public prices in the data of the `genai-prices` package.

Public prices are those of OpenAI's own address, and of providers of which the operator says so: another server that knows
a model by the same name bills something else, or nothing. There the price is unknown, unless it is set.

Nothing is fetched. Importing `genai_prices` takes up to 0.3 s, so it is imported for the first model that is not in the
file (`warm`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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


FREE = Price("free", per_million(Decimal(0), Decimal(0), Decimal(0)))


@dataclass(frozen=True, slots=True)
class ProviderPrices:
    """What a provider bills. `own`: prices that are set for its models. `free`: the others cost nothing.

    `public`: the public prices are its prices.
    """

    own: Mapping[str, Price] = field(default_factory=dict)
    free: bool = False
    public: bool = False


class ModelPrices:
    """Satisfies `Prices`. The most specific price applies.

    A price that is set for the model of this provider; that the provider is free; a price that is set for the model,
    whoever provides it; a public price.
    """

    def __init__(self, own: Mapping[str, Price], providers: Mapping[str, ProviderPrices]) -> None:
        """`own`: the result of `read_prices`, by model or `provider/model`. `providers`: by their names."""
        self._own = dict(own)
        self.set_providers(providers)

    def set_providers(self, providers: Mapping[str, ProviderPrices]) -> None:
        """Use these from now on."""
        # Together, so that a price that another thread finds meanwhile is not kept for the new ones.
        self._providers, self._found = dict(providers), dict[tuple[str, str], Price | None]()

    def of(self, model: str, provider: str) -> Price | None:
        found = self._found
        key = (model, provider)
        if key not in found:
            found[key] = self._find(model, provider)
        return found[key]

    def warm(self) -> None:
        """Import `genai_prices` before a request needs it."""
        if any(provider.public for provider in self._providers.values()):
            _public_price("")

    def _find(self, model: str, provider: str) -> Price | None:
        # Where two providers have a model of that name, it is asked for as `provider/model`.
        names = dict.fromkeys((model, model.removeprefix(f"{provider}/")))
        prices = self._providers.get(provider, ProviderPrices())
        for name in names:
            if price := self._own.get(f"{provider}/{name}") or prices.own.get(name):
                return price
        if prices.free:
            return FREE
        for name in names:
            if price := self._own.get(name) or (_public_price(name) if prices.public else None):
                return price
        return None


def read_prices(path: Path) -> dict[str, Price]:
    """The prices of a YAML or JSON file by model, or by `provider/model`.

    Raises `PricesFileError` for the first error.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_FILE_BYTES:
            raise PricesFileError(f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB")
        models = read_yaml(data.decode(), 1).mapping("the file")
        version = f"{path.name[:31]} {hashlib.sha256(data).hexdigest()[:8]}"
        return {model: own_price(model, node, version) for model, node in models.items()}
    except FileFormatError as error:
        raise PricesFileError(f"{path}:{error.line}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PricesFileError(f"{path}: cannot be read ({type(error).__name__})") from error


def own_price(model: str, node: Node, version: str) -> Price:
    """The price that is written as `{input, cached_input, output}`. Raises `FileFormatError`."""
    fields = node.mapping(model)
    for name, given in fields.items():
        if name not in KEYS:
            raise FileFormatError(f"{model}.{name} is unknown: a price has {', '.join(KEYS)}", given.line)
    for name in ("input", "output"):
        if name not in fields:
            raise FileFormatError(f"{model}.{name} is missing", node.line)
    amounts = {name: usd_per_million(f"{model}.{name}", given) for name, given in fields.items()}
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
