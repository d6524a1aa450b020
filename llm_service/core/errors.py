"""Everything that the service can answer instead of a result, as one tree.

    ServiceError
    ├── InputError            the caller can fix it
    │   ├── InvalidInput  InvalidCharacter  UnknownTemplate  UnknownModel
    │   └── UpstreamRejected
    ├── NotFound
    ├── UpstreamError         the model provider failed
    │   ├── UpstreamUnreachable  UpstreamTls  UpstreamAuth  UpstreamQuota  UpstreamRateLimited
    │   ├── UpstreamRedirect  UpstreamTruncated  UpstreamInvalidResponse  UpstreamMisconfigured
    │   │   └── UpstreamModelUnknown
    │   └── UpstreamTimeout  DeadlineExceeded  OutputTooLarge
    └── StorageError
        └── StorageUnavailable  StorageBusy  StorageFull

An error carries what a caller may know: `code` (stable), `detail` (ours, never an upstream's words), and, where input
is at fault, the fields. `web.errors` gives each code its HTTP status; a test proves that table total.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path such as `parameters.lines`; `message` says what is allowed."""

    field: str
    message: str


class ServiceError(Exception):
    """`retryable`: the same call may succeed later. `retry_after_s`: when, if that is known."""

    code: str = "internal-error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, fields: Sequence[FieldError] = (), retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s


class InputError(ServiceError):
    code = "invalid-input"


class InvalidInput(InputError):
    """A value is missing, of the wrong type or out of bounds; `fields` names each."""

    @classmethod
    def of(cls, fields: Sequence[FieldError]) -> "InvalidInput":
        names = ", ".join(dict.fromkeys(error.field for error in fields))
        return cls(f"Check: {names}.", fields=fields)


class InvalidCharacter(InputError):
    """Text holds NUL or half of a surrogate pair, which no store can keep."""

    code = "invalid-character"


class UnknownTemplate(InputError):
    """`in_path`: the id came from the URL, so that the answer is 404 instead of 422."""

    code = "unknown-template"

    def __init__(self, template_id: str, *, in_path: bool = False) -> None:
        shown = template_id if len(template_id) <= 64 else template_id[:64] + "..."
        super().__init__(
            f"There is no template {shown!r}. GET /api/v1/templates lists them.",
            fields=[] if in_path else [FieldError("template_id", "is not a template of this service")],
        )
        self.in_path = in_path


class UnknownModel(InputError):
    code = "unknown-model"

    def __init__(self, model: str, allowed: Sequence[str]) -> None:
        """`allowed` is empty where the provider itself does not know the model."""
        known = f"must be one of: {', '.join(allowed)}" if allowed else "is not known to the model provider"
        super().__init__(f"The model {model[:100]!r} {known}.", fields=[FieldError("model", known)])


class UpstreamRejected(InputError):
    """The provider refused the request itself (too long for the model, an option it does not know)."""

    code = "upstream-rejected"


class NotFound(ServiceError):
    code = "not-found"


class UpstreamError(ServiceError):
    code = "upstream-error"
    retryable = True


class UpstreamUnreachable(UpstreamError):
    code = "upstream-unreachable"


class UpstreamTls(UpstreamError):
    code = "upstream-tls"
    retryable = False


class UpstreamAuth(UpstreamError):
    code = "upstream-auth"
    retryable = False


class UpstreamQuota(UpstreamError):
    code = "upstream-quota"
    retryable = False


class UpstreamRateLimited(UpstreamError):
    code = "upstream-rate-limited"


class UpstreamRedirect(UpstreamError):
    code = "upstream-redirect"
    retryable = False


class UpstreamTruncated(UpstreamError):
    """The answer ended without its terminal event: what came is not the whole."""

    code = "upstream-truncated"


class UpstreamInvalidResponse(UpstreamError):
    code = "upstream-invalid-response"


class UpstreamMisconfigured(UpstreamError):
    code = "upstream-misconfigured"
    retryable = False


class UpstreamModelUnknown(UpstreamMisconfigured):
    """The provider has no such model; where the caller chose it, that is the caller's `UnknownModel`."""


class OutputTooLarge(UpstreamError):
    code = "output-too-large"
    retryable = False


class UpstreamTimeout(UpstreamError):
    code = "upstream-timeout"


class DeadlineExceeded(UpstreamError):
    code = "deadline-exceeded"
    retryable = False


class StorageError(ServiceError):
    code = "storage-unavailable"
    retryable = True


class StorageUnavailable(StorageError):
    pass


class StorageBusy(StorageError):
    code = "storage-busy"


class StorageFull(StorageError):
    code = "storage-full"
