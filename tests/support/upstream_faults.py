"""What the adapter makes of each of the test provider's models that answer strangely or not at all."""

from dataclasses import dataclass

from llm_service.core import errors
from llm_service.core.generation.model import Status

FAILURES = {
    "fault-400": errors.UpstreamRejected,
    "fault-401": errors.UpstreamAuth,
    "fault-403": errors.UpstreamAuth,
    "fault-404": errors.UpstreamModelUnknown,
    "fault-408": errors.UpstreamTimeout,
    "fault-422": errors.UpstreamRejected,
    "fault-429": errors.UpstreamRateLimited,
    "fault-429-plain": errors.UpstreamRateLimited,
    "fault-429-date": errors.UpstreamRateLimited,
    "fault-500": errors.UpstreamError,
    "fault-502": errors.UpstreamError,
    "fault-503": errors.UpstreamUnavailable,
    "fault-529": errors.UpstreamError,
    "fault-quota": errors.UpstreamQuota,
    "fault-too-long": errors.TooLongForModel,
    "fault-redirect": errors.UpstreamRedirect,
    "fault-reset": errors.UpstreamUnreachable,
    "fault-empty": errors.UpstreamUnreachable,
    "fault-hang": errors.UpstreamTimeout,
    "fault-slow-headers": errors.UpstreamTimeout,
    "fault-hang-after-3": errors.UpstreamTimeout,
    "fault-drip": errors.DeadlineExceeded,
    "fault-eof-at-start": errors.UpstreamTruncated,
    "fault-eof-after-3": errors.UpstreamTruncated,
    "fault-rst-after-3": errors.UpstreamTruncated,
    "fault-garbage-after-3": errors.UpstreamTruncated,
    "fault-eof-mid-event": errors.UpstreamTruncated,
    "fault-no-terminal": errors.UpstreamTruncated,
    "fault-failed": errors.UpstreamError,
    "fault-failed-rate-limit": errors.UpstreamRateLimited,
    "fault-failed-quota": errors.UpstreamQuota,
    "fault-failed-too-long": errors.TooLongForModel,
    "fault-failed-usage": errors.UpstreamError,
    "fault-error-event": errors.UpstreamError,
    "fault-error-nested": errors.UpstreamError,
    "fault-bad-json-event": errors.UpstreamInvalidResponse,
    "fault-json-null": errors.UpstreamInvalidResponse,
    "fault-json-list": errors.UpstreamInvalidResponse,
    "fault-json-broken": errors.UpstreamInvalidResponse,
    "fault-other-api": errors.UpstreamInvalidResponse,
    "fault-other-api-json": errors.UpstreamInvalidResponse,
    "fault-no-events": errors.UpstreamInvalidResponse,
    "fault-html": errors.UpstreamInvalidResponse,
    "fault-huge": errors.OutputTooLarge,
    "fault-long-line": errors.OutputTooLarge,
}
# What is strange and yet an answer: status, text, reason.
ANSWERS = {
    "fault-incomplete": (Status.INCOMPLETE, "Answer to: Hello", "max_output_tokens"),
    "fault-content-filter": (Status.INCOMPLETE, "Answer to: Hello", "content_filter"),
    "fault-refusal": (Status.INCOMPLETE, "I cannot help with that.", "refusal"),
    "fault-unknown-events": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-json-body": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-no-usage": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-bad-usage": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-no-usage-details": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-nul": (Status.COMPLETED, "a\ufffdb\ufffdc", None),
    "fault-bom": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-json-bom": (Status.COMPLETED, "Answer to: Hello", None),
    "fault-no-deltas": (Status.COMPLETED, "Answer to: Hello", None),
}
# Those of them that bring text before they fail.
BRING_TEXT = {
    "fault-eof-after-3", "fault-rst-after-3", "fault-eof-mid-event", "fault-no-terminal",
    "fault-failed", "fault-failed-rate-limit", "fault-failed-quota", "fault-failed-too-long", "fault-failed-usage",
    "fault-garbage-after-3", "fault-error-event", "fault-error-nested",
}  # fmt: skip


@dataclass(frozen=True)
class Patience:
    """How long a call waits for the next byte, and for its end."""

    idle_s: float
    deadline_s: float


def patience_with(model: str) -> Patience:
    """Short only where a model never ends, or says nothing more; a slow machine must not end the other calls."""
    if model == "fault-hang-after-3":
        return Patience(0.4, 60)
    if model in ("fault-hang", "fault-slow-headers", "fault-drip"):
        return Patience(60, 1.2)
    if model in ("fault-429", "fault-503"):
        return Patience(60, 6)  # they ask for seven seconds
    return Patience(60, 60)
