import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as PublicUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from llm_service.adapters.providers.openai_api import is_openai
from llm_service.adapters.providers.prices import FREE, ModelPrices, PricesFileError, ProviderPrices, read_prices
from llm_service.core.usage.ports import Prices
from llm_service.core.usage.pricing import Price, normalize_usd, per_million
from llm_service.core.usage.tokens import Usage
from tests.support.constants import ROOT

OPENAI = {"openai": ProviderPrices(public=True)}
USAGE = Usage(1_000_000, 1_000_000, 2_000_000, 500_000, 0)


def priced(prices: Prices, model: str, provider: str = "openai") -> Price:
    price = prices.of(model, provider)
    assert price is not None
    return price


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_public_prices_by_name(model: str) -> None:
    price = priced(ModelPrices({}, OPENAI), model)
    assert price.cost(Usage(1000, 50, 1050, 400, 0)) == Decimal("0.00015")
    assert price.cost(Usage(1000, 50, 1050)) == Decimal("0.00018")
    assert price.max_cost(1000, 50) == Decimal("0.00018")
    assert price.version.startswith("genai-prices 0.2.")


def test_every_public_price_is_that_of_the_package() -> None:
    """Also for models whose rates depend on the length of the input or on the time."""
    prices = ModelPrices({}, {"gateway": ProviderPrices(public=True)})
    names = {model.id for provider in get_snapshot().providers for model in provider.models}
    assert len(names) > 1000
    compared = 0
    for name in names:
        if (price := prices.of(name, "gateway")) is None:
            continue
        for into, cached, out in ((1, 0, 1), (333_333, 111_111, 77_777)):
            calculated = calc_price(PublicUsage(input_tokens=into, cache_read_tokens=cached, output_tokens=out), name)
            expected = normalize_usd(calculated.total_price)
            assert price.cost(Usage(into, out, into + out, cached, 0)) == expected, name
            compared += 1
    assert compared > 500


def test_unknown_models_have_no_price() -> None:
    prices = ModelPrices({}, OPENAI)
    prices.warm()
    assert prices.of("a-model-of-ours", "openai") is None


def test_public_prices_are_those_of_openai_and_of_who_says_so() -> None:
    providers = {
        "openai": ProviderPrices(public=True),
        "gateway": ProviderPrices(public=True),
        "azure": ProviderPrices(),
    }
    prices = ModelPrices({}, providers)
    assert priced(prices, "gpt-4o-mini", "gateway").version.startswith("genai-prices ")
    assert priced(prices, "gateway/gpt-4o-mini", "gateway").version.startswith("genai-prices ")
    assert prices.of("gpt-4o-mini", "azure") is None
    assert prices.of("gpt-4o-mini", "echo") is None


def price(usd: str) -> Price:
    return Price(f"at {usd}", per_million(Decimal(usd), Decimal(usd), Decimal(usd)))


def test_the_most_specific_price_applies() -> None:
    providers = {
        "free": ProviderPrices({"m": price("1")}, free=True),
        "public": ProviderPrices({"m": price("2")}, public=True),
        "plain": ProviderPrices(),
    }
    own = {"all": price("3"), "gpt-4o-mini": price("4"), "plain/all": price("5"), "free/m": price("6")}
    prices = ModelPrices(own, providers)
    found = {
        (model, provider): made.version
        for provider in providers
        for model in ("m", "all", "gpt-4o-mini", f"{provider}/m", f"{provider}/all")
        if (made := prices.of(model, provider)) is not None
    }
    assert found == {
        ("m", "free"): "at 6",
        ("free/m", "free"): "at 6",
        ("all", "free"): "free",
        ("free/all", "free"): "free",
        ("gpt-4o-mini", "free"): "free",
        ("m", "public"): "at 2",
        ("public/m", "public"): "at 2",
        ("all", "public"): "at 3",
        ("public/all", "public"): "at 3",
        ("gpt-4o-mini", "public"): "at 4",
        ("all", "plain"): "at 5",
        ("plain/all", "plain"): "at 5",
        ("gpt-4o-mini", "plain"): "at 4",
    }
    assert FREE.cost(USAGE) == FREE.max_cost(1, 1) == 0


def test_other_providers_are_used_from_then_on() -> None:
    prices = ModelPrices({}, {"local": ProviderPrices(free=True)})
    assert prices.of("m", "local") is FREE
    prices.set_providers({"local": ProviderPrices({"m": price("1")})})
    assert priced(prices, "m", "local").version == "at 1"
    prices.set_providers({})
    assert prices.of("m", "local") is None


@pytest.mark.parametrize(
    ("url", "own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com./v1/", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://127.0.0.1:11434/v1", False),
        ("https://NAME.openai.azure.com/openai/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("https://notapi.openai.com.", False),
    ],
)
def test_addresses_of_openai(url: str | None, own: bool) -> None:
    assert is_openai(url) is own


def test_a_file_adds_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        'qwen3:8b: {input: 0, output: 0}\ngpt-4o-mini:\n  input: "3.00"\n  cached_input: 0.75\n  output: 0.000001\n'
    )
    prices = ModelPrices(read_prices(path), OPENAI)
    assert priced(prices, "qwen3:8b").cost(USAGE) == 0
    own = priced(prices, "gpt-4o-mini")
    assert own.cost(USAGE) == Decimal("1.5") + Decimal("0.375") + Decimal("0.000001")
    assert own.version.startswith("prices.yaml ")
    assert len(own.version) == len("prices.yaml ") + 8
    assert priced(prices, "gpt-4o").version.startswith("genai-prices ")


def test_json_is_read_too_and_left_out_cached_input_costs_as_input(tmp_path: Path) -> None:
    path = tmp_path / ("a-rather-long-name-of-a-file-of-prices" * 2)
    path.write_text('{"m": {"input": "2", "output": 4}}')
    price = read_prices(path)["m"]
    assert price.cost(USAGE) == 6
    assert len(price.version) == 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("- m", "must be a mapping"),
        ("m: 3", ":1: m must be a mapping"),
        ("m:\n  input: 1\n  output: 2\n  reasoning: 3\n", ":4: m.reasoning is unknown"),
        ("m:\n  input: 1\n", "m.output is missing"),
        ("m:\n  input: -1\n  output: 2\n", ":2: m.input must be US dollars per million tokens: 0 to 10,000"),
        ("m: {input: 1, output: 10001}", "m.output must be"),
        ('m: {input: "1,5", output: 1}', "m.input must be"),
        ("m: {input: true, output: 1}", "m.input must be"),
        ("m: {input: .nan, output: 1}", "m.input must be"),
        ("m: {input: 0.0000001, output: 1}", "m.input must be"),
        ("m: {input: 1e400, output: 1}", "m.input must be"),
        ("m: {input: 1, cached_input: 2, output: 1}", "m.cached_input is more than input"),
        ("m: {input: 1, output: 1}\nm: {input: 2, output: 2}", "m appears twice"),
        ("m: {input: 1", "is not valid YAML"),
        ("m: !!python/object:os.system {}", "may not use a value of the type"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(PricesFileError) as raised:
        read_prices(path)
    assert str(raised.value).startswith(f"{path}:")
    assert words in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    for name, words in [("none", "cannot be read (FileNotFoundError)"), ("latin", "cannot be read"), ("large", "KiB")]:
        with pytest.raises(PricesFileError) as raised:
            read_prices(tmp_path / name)
        assert words in str(raised.value)


def test_nothing_is_loaded_for_models_of_the_file() -> None:
    program = (
        "import sys; from llm_service.adapters.providers.prices import ModelPrices; "
        "ModelPrices({'m': 'a price'}, {}).of('m', 'openai'); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
