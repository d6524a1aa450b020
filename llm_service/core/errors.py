"""Everything that the service can answer instead of a result, as one tree.

    ServiceError
    ├── InputError            the caller can fix it
    │   ├── InvalidInput  InvalidCharacter  UnknownTemplate
    │   ├── UnknownModel  UnpricedModel
    │   ├── UpstreamRejected
    │   └── IdempotencyConflict  IdempotencyMismatch
    ├── NotFound
    ├── UpstreamError         the model provider failed
    │   ├── UpstreamUnreachable  UpstreamTls  UpstreamAuth  UpstreamQuota  UpstreamRateLimited
    │   ├── UpstreamRedirect  UpstreamTruncated  UpstreamInvalidResponse  UpstreamMisconfigured
    │   │   └── UpstreamModelUnknown
    │   └── UpstreamTimeout  UpstreamUnavailable  DeadlineExceeded  OutputTooLarge  InvalidOutput
    ├── Ended                 somebody or something ended the generation before its answer was whole
    │   └── Cancelled  Interrupted  ShuttingDown
    ├── Overloaded
    ├── LimitError            the caller's own limit, or that of all callers
    │   └── RateLimited  BudgetExhausted
    └── StorageError
        └── StorageUnavailable  StorageBusy  StorageFull

An error carries what a caller may know: `code` (stable), `detail` (ours, never an upstream's words), and, where input
is at fault, the fields. `web.errors` gives each code its HTTP status; a test proves that table total.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

# A body with a hundred thousand unknown fields gets no answer of that length.
MAX_FIELDS = 50


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path such as `parameters.lines`; `message` says what is allowed."""

    field: str
    message: str


class ServiceError(Exception):
    """`retryable`: the same call may succeed later. `retry_after_s`: when, if that is known.

    `max_attempts`: how often the service itself makes the call in all before it gives this answer. `may_be_billed`: a
    call to the provider that ended with it may be on the bill, although nothing reported its tokens.
    """

    code: str = "internal-error"
    retryable: ClassVar[bool] = False
    max_attempts: int = 1
    may_be_billed: bool = True

    def __init__(self, detail: str, *, fields: Sequence[FieldError] = (), retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s


class InputError(ServiceError):
    code = "invalid-input"
    may_be_billed = False


class InvalidInput(InputError):
    """A value is missing, of the wrong type or out of bounds; `fields` names each, `MAX_FIELDS` at most."""

    @classmethod
    def of(cls, fields: Sequence[FieldError]) -> "InvalidInput":
        named = list(dict.fromkeys(error.field for error in fields))
        more = f" and {len(named) - MAX_FIELDS} more" if len(named) > MAX_FIELDS else ""
        return cls(f"Check: {', '.join(named[:MAX_FIELDS])}{more}.", fields=fields[:MAX_FIELDS])


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

    def __init__(self, model: str, allowed: Sequence[str] | None) -> None:
        """`allowed` None: the provider itself does not know the model. Empty: the caller's key opens none."""
        if allowed is None:
            known = "is not known to the model provider"
        else:
            known = f"must be one of: {', '.join(allowed) or 'none that this key opens'}"
        super().__init__(f"The model {model[:100]!r} {known}.", fields=[FieldError("model", known)])


class UnpricedModel(UnknownModel):
    """A budget in money cannot bound what nobody knows the price of."""

    def __init__(self, model: str) -> None:
        message = "has no known price, which the budget in US dollars needs"
        InputError.__init__(self, f"The model {model[:100]!r} {message}.", fields=[FieldError("model", message)])


class UpstreamRejected(InputError):
    """The provider refused the request itself (too long for the model, an option it does not know)."""

    code = "upstream-rejected"


class IdempotencyConflict(InputError):
    """A request with the same Idempotency-Key is under way."""

    code = "idempotency-conflict"


class IdempotencyMismatch(InputError):
    """The same Idempotency-Key came with another body."""

    code = "idempotency-mismatch"


class NotFound(ServiceError):
    code = "not-found"


class UpstreamError(ServiceError):
    code = "upstream-error"
    retryable = True
    max_attempts = 3


class UpstreamUnreachable(UpstreamError):
    code = "upstream-unreachable"


class UpstreamTls(UpstreamError):
    code = "upstream-tls"
    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamAuth(UpstreamError):
    code = "upstream-auth"
    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamQuota(UpstreamError):
    code = "upstream-quota"
    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamRateLimited(UpstreamError):
    code = "upstream-rate-limited"
    may_be_billed = False


class UpstreamRedirect(UpstreamError):
    code = "upstream-redirect"
    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamTruncated(UpstreamError):
    """The answer ended without its terminal event: what came is not the whole."""

    code = "upstream-truncated"


class UpstreamInvalidResponse(UpstreamError):
    code = "upstream-invalid-response"
    max_attempts = 2


class UpstreamMisconfigured(UpstreamError):
    code = "upstream-misconfigured"
    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamModelUnknown(UpstreamMisconfigured):
    """The provider has no such model; where the caller chose it, that is the caller's `UnknownModel`."""


class OutputTooLarge(UpstreamError):
    code = "output-too-large"
    retryable = False
    max_attempts = 1


class InvalidOutput(UpstreamError):
    """The answer is whole, but it is not the JSON that its template declares; `fields` says where."""

    code = "invalid-output"
    max_attempts = 1

    @classmethod
    def of(cls, fields: Sequence[FieldError]) -> "InvalidOutput":
        return cls("The model's answer is not what the template declares under outputs.", fields=fields)


class UpstreamTimeout(UpstreamError):
    code = "upstream-timeout"
    max_attempts = 2


class UpstreamUnavailable(UpstreamError):
    """The provider says so itself, with a time; or it failed so often that it is not asked for a while."""

    code = "upstream-unavailable"
    may_be_billed = False


class DeadlineExceeded(UpstreamError):
    code = "deadline-exceeded"
    retryable = False
    max_attempts = 1


class Ended(ServiceError):
    """Not the provider's fault; what came so far is kept."""

    retryable = True


class Cancelled(Ended):
    code = "cancelled"


class Interrupted(Ended):
    code = "interrupted"


class ShuttingDown(Ended):
    code = "shutting-down"


class Overloaded(ServiceError):
    code = "overloaded"
    retryable = True
    may_be_billed = False


class StorageError(ServiceError):
    code = "storage-unavailable"
    retryable = True


class StorageUnavailable(StorageError):
    pass


class StorageBusy(StorageError):
    code = "storage-busy"


class StorageFull(StorageError):
    code = "storage-full"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as plain values, so that everyone who shares a call gets one of their own. `kind` is a class's name."""

    kind: str
    detail: str
    fields: tuple[FieldError, ...] = ()
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        if not isinstance(error, ServiceError):
            return cls("ServiceError", "The service met an error that it did not expect.")
        return cls(type(error).__name__, error.detail, error.fields, error.retry_after_s)

    def error(self) -> ServiceError:
        """A new error with the same content."""
        kind = next(one for one in all_errors() if one.__name__ == self.kind)
        error = kind.__new__(kind)
        ServiceError.__init__(error, self.detail, fields=self.fields, retry_after_s=self.retry_after_s)
        return error


def all_errors(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """The whole tree, root first."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def error_of_code(code: str, detail: str) -> ServiceError:
    """The error that a stored generation ended with."""
    kind = next((one for one in all_errors() if one.code == code), ServiceError)
    return Failure(kind.__name__, detail).error()
