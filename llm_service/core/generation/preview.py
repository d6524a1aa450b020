"""What a request would send and could cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..access.caller import Caller
from ..usage.ports import Prices
from ..usage.pricing import Price
from .model import GenerateRequest, ProviderCall
from .ports import Cache
from .preparation import PreparedRequest, RequestPreparer

# English and code have about four bytes of UTF-8 to a token, Chinese and Japanese about three.
BYTES_PER_TOKEN = 4
# A generous estimate of what a provider adds around the messages.
FRAME_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Preview:
    """`estimated_input_tokens` is an estimate: only the provider counts tokens.

    `max_output_tokens` None = the answer has no limit. `max_cost_usd` is the maximum cost of one attempt; billed failed
    attempts are extra. None if the price or the limit is unknown. With fallbacks, it is that of the most expensive model;
    all else is the first model's. `unpriced`: the models without a known price.
    """

    prepared: PreparedRequest
    key_parts: Mapping[str, Any]
    would_hit: bool
    estimated_input_tokens: int
    max_output_tokens: int | None
    max_cost_usd: Decimal | None
    price_version: str | None
    unpriced: tuple[str, ...]


class PreviewService:
    """Renders and checks the cache; calls no model and stores nothing."""

    def __init__(self, preparer: RequestPreparer, cache: Cache, prices: Prices) -> None:
        self._preparer = preparer
        self._cache = cache
        self._prices = prices

    def preview(self, request: GenerateRequest, caller: Caller) -> Preview:
        """Raises an `InputError` that names the invalid fields."""
        prepared = self._preparer.prepare(request, caller, remember=False)
        size, limit = _size(prepared.call), prepared.call.options.get("max_output_tokens")
        prices = [self._prices.of(each.model, each.provider.name) for each in prepared.candidates]
        return Preview(
            prepared=prepared,
            key_parts=self._preparer.key_parts(prepared),
            would_hit=self._cache.get(prepared.cache_key, counted=False) is not None,
            estimated_input_tokens=-(-size // BYTES_PER_TOKEN),
            max_output_tokens=limit,
            max_cost_usd=_max_cost_usd(prepared, prices) if limit else None,
            price_version=prices[0].version if prices[0] else None,
            unpriced=tuple(
                each.model for each, price in zip(prepared.candidates, prices, strict=True) if price is None
            ),
        )


def _max_cost_usd(prepared: PreparedRequest, prices: Sequence[Price | None]) -> Decimal | None:
    """Of the most expensive model; None if one of the prices is unknown."""
    costs = []
    for each, price in zip(prepared.candidates, prices, strict=True):
        if price is None:
            return None
        costs.append(price.max_cost(*most_tokens(each.call, each.candidate.context_tokens)))
    return max(costs)


def most_tokens(call: ProviderCall, context_tokens: int | None = None) -> tuple[int, int]:
    """The maximum input and output tokens of one attempt: a token is at least one byte. The output must be limited.

    `context_tokens`: what the model can read and write together; None = unknown.
    """
    most_input, most_output = _size(call) + FRAME_TOKENS, int(call.options["max_output_tokens"])
    if context_tokens is None:
        return most_input, most_output
    return min(most_input, context_tokens), min(most_output, context_tokens)


def _size(call: ProviderCall) -> int:
    """The bytes of all text that is sent."""
    schema = json.dumps(dict(call.output.schema)) if call.output else ""
    return sum(len(text.encode()) for text in (*(message.text for message in call.messages), schema))
