"""What a generation adds to the usage sums."""

from ..usage.pricing import ZERO_USD
from ..usage.sums import UsageSums, bucket_of
from ..usage.tokens import NO_TOKENS
from .model import Generation, Status


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
