import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as PublicUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from llm_service.adapters.providers.prices import ModelPrices, PricesFileError, read_prices
from llm_service.core.usage.ports import Prices
from llm_service.core.usage.pricing import Price, normalize_usd
from llm_service.core.usage.tokens import Usage
from tests.support.constants import ROOT

USAGE = Usage(1_000_000, 1_000_000, 2_000_000, 500_000, 0)


def priced(prices: Prices, model: str) -> Price:
    price = prices.of(model)
    assert price is not None
    return price


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_public_prices_by_name(model: str) -> None:
    price = priced(ModelPrices({}, public=True), model)
    assert price.cost(Usage(1000, 50, 1050, 400, 0)) == Decimal("0.00015")
    assert price.cost(Usage(1000, 50, 1050)) == Decimal("0.00018")
    assert price.max_cost(1000, 50) == Decimal("0.00018")
    assert price.version.startswith("genai-prices 0.2.")


def test_every_public_price_is_that_of_the_package() -> None:
    """Also for models whose rates depend on the length of the input or on the time."""
    prices = ModelPrices({}, public=True)
    names = {model.id for provider in get_snapshot().providers for model in provider.models}
    assert len(names) > 1000
    compared = 0
    for name in names:
        if (price := prices.of(name)) is None:
            continue
        for into, cached, out in ((1, 0, 1), (333_333, 111_111, 77_777)):
            calculated = calc_price(PublicUsage(input_tokens=into, cache_read_tokens=cached, output_tokens=out), name)
            expected = normalize_usd(calculated.total_price)
            assert price.cost(Usage(into, out, into + out, cached, 0)) == expected, name
            compared += 1
    assert compared > 500


def test_unknown_models_have_no_price() -> None:
    prices = ModelPrices({}, public=True)
    prices.warm()
    assert prices.of("a-model-of-ours") is None
    assert ModelPrices({}, public=False).of("gpt-4o-mini") is None


def test_a_file_adds_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        'qwen3:8b: {input: 0, output: 0}\ngpt-4o-mini:\n  input: "3.00"\n  cached_input: 0.75\n  output: 0.000001\n'
    )
    prices = ModelPrices(read_prices(path), public=True)
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
        "ModelPrices({'m': None}, public=True).of('m'); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
