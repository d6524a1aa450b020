"""What a request would send and could cost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..access.caller import Caller
from ..usage.ports import Prices
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
    attempts are extra. None if the price or the limit is unknown.
    """

    prepared: PreparedRequest
    key_parts: Mapping[str, Any]
    would_hit: bool
    estimated_input_tokens: int
    max_output_tokens: int | None
    max_cost_usd: Decimal | None
    price_version: str | None


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
        most = most_tokens(prepared.call, prepared.candidate.context_tokens) if limit else None
        price = self._prices.of(prepared.model, prepared.provider.name)
        return Preview(
            prepared=prepared,
            key_parts=self._preparer.key_parts(prepared),
            would_hit=self._cache.get(prepared.cache_key, counted=False) is not None,
            estimated_input_tokens=-(-size // BYTES_PER_TOKEN),
            max_output_tokens=limit,
            max_cost_usd=price.max_cost(*most) if price and most else None,
            price_version=price.version if price else None,
        )


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
