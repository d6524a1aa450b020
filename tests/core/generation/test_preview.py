"""What would be sent and what it could cost, before anything is paid."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.core.access.caller import LOCAL
from llm_service.core.errors import InvalidInput, UnknownModel
from llm_service.core.generation.cache_key import cache_key
from llm_service.core.generation.model import CachedAnswer, GenerateRequest
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.preview import FRAME_TOKENS, Preview, PreviewService, most_tokens
from llm_service.core.usage.pricing import Price, per_million
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import ManualClock
from tests.support.constants import ROOT
from tests.support.templates import registry_of, revisions_of
from tests.support.world import OneProvider

ASKED = GenerateRequest("basic_chat_v1", "Hello", {"tone": "simple"})


class OnePrice:
    """m1 costs 1, 0.5 and 10 dollars per million tokens; nothing else has a price."""

    def of(self, model: str, provider: str) -> Price | None:
        tariff = per_million(Decimal(1), Decimal("0.5"), Decimal(10))
        return Price("test 1", tariff) if model == "m1" else None


def preview(asked: GenerateRequest = ASKED, *, max_output_tokens: int = 100, folder: Path | None = None) -> Preview:
    return previews(max_output_tokens, folder)[0].preview(asked, LOCAL)


def previews(max_output_tokens: int = 100, folder: Path | None = None) -> tuple[PreviewService, MemoryCache]:
    limits = GenerationSettings(max_output_tokens=max_output_tokens)
    templates, models = registry_of(folder or ROOT / "prompts"), AllowedModels("m1", ("m1", "m2"))
    prepare = RequestPreparer(templates, models, OneProvider(), limits, ManualClock(), revisions_of(templates))
    cache = MemoryCache(ttl_s=60, max_entries=10, max_bytes=10_000_000)
    return PreviewService(prepare, cache, OnePrice()), cache


def test_it_renders_and_counts() -> None:
    seen = preview()
    call = seen.prepared.call
    size = len(call.system_prompt) + len(call.user_prompt)
    assert (call.user_prompt, seen.would_hit) == ("Hello", False)
    assert seen.estimated_input_tokens == -(-size // 4)
    assert (seen.max_output_tokens, seen.price_version) == (100, "test 1")
    assert seen.max_cost_usd == (Decimal(size + FRAME_TOKENS) + 100 * 10) / 1_000_000


def test_the_key_is_the_hash_of_the_parts_that_are_shown() -> None:
    seen = preview()
    assert seen.prepared.cache_key == cache_key(seen.prepared.call, provider="echo:1", scope="local")
    assert seen.key_parts["messages"][-1] == {"role": "user", "parts": [{"type": "text", "text": "Hello"}]}
    assert seen.key_parts["options"] == {"max_output_tokens": 100}


@pytest.mark.parametrize(
    ("asked", "bound"),
    [(GenerateRequest("basic_chat_v1", "Hello", {}, "m2"), 100), (ASKED, 0)],
    ids=["no price", "no bound"],
)
def test_what_is_not_known_is_none(asked: GenerateRequest, bound: int) -> None:
    assert preview(asked, max_output_tokens=bound).max_cost_usd is None


def test_text_counts_by_its_bytes() -> None:
    short, long = (preview(GenerateRequest("summarize_v1", text)) for text in ("語", "語" * 401))
    assert long.estimated_input_tokens - short.estimated_input_tokens == 300
    assert long.max_cost_usd is not None
    assert short.max_cost_usd is not None
    assert long.max_cost_usd - short.max_cost_usd == Decimal(1200) / 1_000_000


def test_a_context_bounds_what_a_call_can_cost() -> None:
    call = preview().prepared.call
    most_input, most_output = most_tokens(call)
    assert most_tokens(call, 1_000_000) == (most_input, most_output)
    assert most_tokens(call, 80) == (80, 80)


def test_it_knows_what_the_cache_has_and_counts_no_lookup() -> None:
    look, cache = previews()
    prepared = look.preview(ASKED, LOCAL).prepared
    cache.put(prepared.cache_key, CachedAnswer("local", "id", "Hello", {}, "out", "m1", Usage()))
    assert look.preview(ASKED, LOCAL).would_hit
    assert not look.preview(ASKED, replace(LOCAL, owner="bob")).would_hit
    assert (cache.stats().hits, cache.stats().misses) == (0, 0)


def test_bad_input_is_refused_as_generate_would() -> None:
    with pytest.raises(InvalidInput):
        preview(GenerateRequest("basic_chat_v1", "Hello", {"tone": "loud"}))
    with pytest.raises(UnknownModel):
        preview(GenerateRequest("basic_chat_v1", "Hello", {}, "gpt-9"))
