"""Token counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as reported by the provider; None = not reported (never 0 instead).

    `cached_input_tokens` are part of `input_tokens`, `reasoning_tokens` part of `output_tokens`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all billed counts are known."""
        return self.input_tokens is not None and self.output_tokens is not None

    def plus(self, other: "Usage") -> "Usage":
        """The sum of both. A count that only one of them has is taken as the sum."""
        return Usage(
            input_tokens=_sum(self.input_tokens, other.input_tokens),
            output_tokens=_sum(self.output_tokens, other.output_tokens),
            total_tokens=_sum(self.total_tokens, other.total_tokens),
            cached_input_tokens=_sum(self.cached_input_tokens, other.cached_input_tokens),
            reasoning_tokens=_sum(self.reasoning_tokens, other.reasoning_tokens),
        )

    def minus(self, part: "Usage") -> "Usage":
        """The rest of a sum. What is unknown stays unknown."""
        return Usage(
            input_tokens=_rest(self.input_tokens, part.input_tokens),
            output_tokens=_rest(self.output_tokens, part.output_tokens),
            total_tokens=_rest(self.total_tokens, part.total_tokens),
            cached_input_tokens=_rest(self.cached_input_tokens, part.cached_input_tokens),
            reasoning_tokens=_rest(self.reasoning_tokens, part.reasoning_tokens),
        )


def _rest(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else whole - (part or 0)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


NOT_REPORTED = Usage()
NO_TOKENS = Usage(0, 0, 0, 0, 0)
