"""What a generation adds to the usage sums.

It is counted at the model and the provider that it ended with. Those that were tried before get their bills only.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from ..usage.pricing import ZERO_USD
from ..usage.sums import UsageSums, bucket_of
from ..usage.tokens import NO_TOKENS, Usage
from .model import Generation, Status
from .tried_models import TriedModel

NOTHING = UsageSums()
Part = tuple[str, str, UsageSums]
"""A model, its provider, and what is added to their sums."""


def parts_of(generation: Generation) -> Sequence[Part]:
    """The usage of one generation that is over, by model and provider."""
    tried = generation.fallbacks
    if not tried:
        return ((generation.model, generation.provider, sums_of(generation)),)
    bills = [(model.model, model.provider, _bill_of(model)) for model in tried]
    parts = [part for part in bills if part[2] != NOTHING]
    return _unknown_once([*parts, (generation.model, generation.provider, _without(generation, tried))])


def _bill_of(model: TriedModel) -> UsageSums:
    unknown = bool(model.unreported) or not model.billed.is_complete
    return UsageSums(
        input_tokens=model.billed.input_tokens or 0,
        cached_input_tokens=model.billed.cached_input_tokens or 0,
        output_tokens=model.billed.output_tokens or 0,
        reasoning_tokens=model.billed.reasoning_tokens or 0,
        unknown_usage=int(unknown),
        unknown_price=int(not unknown and model.cost_usd is None),
        cost_usd=model.cost_usd or ZERO_USD,
    )


def _without(generation: Generation, tried: Sequence[TriedModel]) -> UsageSums:
    """The sums of a generation without the bills of the models that were tried before."""
    attempts, unreported, cost_usd = generation.attempts, generation.unreported, generation.cost_usd
    billed = reduce(Usage.plus, (model.billed for model in tried), NO_TOKENS)
    paid = sum((model.cost_usd or ZERO_USD for model in tried), ZERO_USD)
    own = replace(
        generation,
        attempts=attempts - sum(model.attempts for model in tried),
        unreported=None if unreported is None else unreported - sum(model.unreported for model in tried),
        billed=generation.billed.minus(billed),
        cost_usd=None if cost_usd is None else cost_usd - paid,
    )
    sums = sums_of(own)
    # It did not join a call only because its last model had no slot.
    return replace(sums, joined=0) if attempts else sums


def _unknown_once(parts: Sequence[Part]) -> Sequence[Part]:
    """They count generations, so this one counts once, at the first model of which something is unknown."""
    once, known = [], True
    for model, provider, sums in parts:
        counted = sums if known else replace(sums, unknown_usage=0, unknown_price=0)
        known = known and not (sums.unknown_usage or sums.unknown_price)
        once.append((model, provider, counted))
    return once


def sums_of(generation: Generation) -> UsageSums:
    """The usage of one generation that is over."""
    status = generation.status
    called = generation.attempts > 0
    answered = status in (Status.COMPLETED, Status.INCOMPLETE)
    spared = answered and not called
    billed = generation.billed if called else NO_TOKENS
    saved = generation.usage if spared else NO_TOKENS
    cost_usd = generation.cost_usd if called else ZERO_USD
    saved_usd = generation.saved_usd if spared else ZERO_USD
    # What the reported attempts cost is not all if another one may be billed too.
    unreported = called and bool(generation.unreported)
    unknown = unreported or None in (
        billed.input_tokens, billed.output_tokens, saved.input_tokens, saved.output_tokens
    )  # fmt: skip
    fresh = answered and not generation.cached and generation.latency_ms is not None
    return UsageSums(
        requests=1,
        hits=int(generation.cached),
        joined=int(not called and not generation.cached),
        completed=int(status is Status.COMPLETED),
        incomplete=int(status is Status.INCOMPLETE),
        failed=int(status is Status.FAILED),
        cancelled=int(status is Status.CANCELLED),
        interrupted=int(status is Status.INTERRUPTED),
        input_tokens=billed.input_tokens or 0,
        cached_input_tokens=billed.cached_input_tokens or 0,
        output_tokens=billed.output_tokens or 0,
        reasoning_tokens=billed.reasoning_tokens or 0,
        saved_input_tokens=saved.input_tokens or 0,
        saved_output_tokens=saved.output_tokens or 0,
        unknown_usage=int(unknown),
        unknown_price=int(not unknown and (cost_usd is None or saved_usd is None)),
        cost_usd=cost_usd or ZERO_USD,
        saved_usd=saved_usd or ZERO_USD,
        latencies={bucket_of(generation.latency_ms or 0): 1} if fresh else {},
    )
