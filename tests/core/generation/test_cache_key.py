import pytest

from llm_service.core.generation.cache_key import cache_key
from llm_service.core.generation.model import ProviderCall
from llm_service.core.messages import Prompts

CALL = ProviderCall("gpt-4o-mini", Prompts("Be brief.", "Hello"), {"temperature": 0.5})


def key(call: ProviderCall = CALL, provider: str = "openai:", scope: str = "local") -> str:
    return cache_key(call, provider=provider, scope=scope)


def test_the_key_stays_the_same() -> None:
    """A change here empties every cache: it must be meant."""
    assert key() == "d63a7481fcf2cf2770befcf3d306644f6fd41892e0e6f2159f46603d3c9763b9"


@pytest.mark.parametrize(
    "other",
    [
        key(ProviderCall("gpt-4o", CALL.prompts, CALL.options)),
        key(ProviderCall(CALL.model, Prompts("Be brief", "Hello"), CALL.options)),
        key(ProviderCall(CALL.model, Prompts("Be brief.", "Hello "), CALL.options)),
        key(ProviderCall(CALL.model, Prompts("", "Be brief.Hello"), CALL.options)),
        key(ProviderCall(CALL.model, CALL.prompts, {})),
        key(ProviderCall(CALL.model, CALL.prompts, {"temperature": 0.6})),
        key(ProviderCall(CALL.model, CALL.prompts, {"temperature": 0.5, "top_p": 1})),
        key(provider="echo:1"),
        key(scope="alice"),
    ],
)
def test_every_part_counts(other: str) -> None:
    assert other != key()


def test_text_is_not_normalised() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert key(ProviderCall("m", Prompts("", composed), {})) != key(ProviderCall("m", Prompts("", decomposed), {}))


def test_the_order_of_options_does_not_count() -> None:
    one = ProviderCall("m", Prompts("", "x"), {"a": 1, "b": 2})
    two = ProviderCall("m", Prompts("", "x"), {"b": 2, "a": 1})
    assert key(one) == key(two)
