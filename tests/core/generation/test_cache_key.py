import pytest

from llm_service.core.generation.cache_key import cache_key
from llm_service.core.generation.model import ProviderCall
from tests.support.builders import messages_of

CALL = ProviderCall("gpt-4o-mini", messages_of("Be brief.", "Hello"), {"temperature": 0.5})


def key(call: ProviderCall = CALL, provider: str = "openai:", scope: str = "local") -> str:
    return cache_key(call, provider=provider, scope=scope)


def test_the_key_stays_the_same() -> None:
    """A change here empties every cache: it must be meant."""
    assert key() == "b6793f5a97e1fae7d6f51a405af9c86a5b1977e74b7d6477f6a32e857f19d65c"


@pytest.mark.parametrize(
    "other",
    [
        key(ProviderCall("gpt-4o", CALL.messages, CALL.options)),
        key(ProviderCall(CALL.model, messages_of("Be brief", "Hello"), CALL.options)),
        key(ProviderCall(CALL.model, messages_of("Be brief.", "Hello "), CALL.options)),
        key(ProviderCall(CALL.model, messages_of("", "Be brief.Hello"), CALL.options)),
        key(ProviderCall(CALL.model, CALL.messages, {})),
        key(ProviderCall(CALL.model, CALL.messages, {"temperature": 0.6})),
        key(ProviderCall(CALL.model, CALL.messages, {"temperature": 0.5, "top_p": 1})),
        key(provider="echo:1"),
        key(scope="alice"),
    ],
)
def test_every_part_counts(other: str) -> None:
    assert other != key()


def test_text_is_not_normalised() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert key(ProviderCall("m", messages_of("", composed), {})) != key(
        ProviderCall("m", messages_of("", decomposed), {})
    )


def test_the_order_of_options_does_not_count() -> None:
    ab = ProviderCall("m", messages_of("", "x"), {"a": 1, "b": 2})
    ba = ProviderCall("m", messages_of("", "x"), {"b": 2, "a": 1})
    assert key(ab) == key(ba)
