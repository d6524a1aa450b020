"""Token counts, as providers report them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reported them; None = it did not say (never 0 in its place).

    `cached_input_tokens` are part of `input_tokens`, `reasoning_tokens` part of `output_tokens`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it says all that is billed."""
        return self.input_tokens is not None and self.output_tokens is not None

    def plus(self, other: "Usage") -> "Usage":
        """Both together; a count that only one of them has is taken for the whole."""
        return Usage(
            input_tokens=_sum(self.input_tokens, other.input_tokens),
            output_tokens=_sum(self.output_tokens, other.output_tokens),
            total_tokens=_sum(self.total_tokens, other.total_tokens),
            cached_input_tokens=_sum(self.cached_input_tokens, other.cached_input_tokens),
            reasoning_tokens=_sum(self.reasoning_tokens, other.reasoning_tokens),
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return (one or 0) + (other or 0) if one is not None or other is not None else None


# Nobody said.
NOT_REPORTED = Usage()
NO_TOKENS = Usage(0, 0, 0, 0, 0)
