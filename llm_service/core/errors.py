"""The errors of the service, as one tree.

    ServiceError
    ├── InputError            the caller can fix it
    │   ├── InvalidInput  InvalidCharacter  UnknownTemplate
    │   ├── UnknownModel  UnpricedModel
    │   ├── UpstreamRejected (TooLongForModel, ContentFiltered)
    │   └── IdempotencyConflict  IdempotencyMismatch
    ├── NotFound
    ├── UpstreamError         the model provider failed
    │   ├── UpstreamUnreachable  UpstreamRateLimited  UpstreamUnavailable (UpstreamLoading)  UpstreamTimeout  UpstreamTruncated
    │   ├── UpstreamSetupError    the operator can fix it
    │   │   └── UpstreamTls  UpstreamAuth  UpstreamProxy  UpstreamQuota  UpstreamRedirect  UpstreamMisconfigured (UpstreamModelUnknown)
    │   └── UpstreamInvalidResponse  InvalidOutput  OutputTooLarge  DeadlineExceeded
    ├── Ended                 the generation was ended before its answer was complete
    │   └── Cancelled  Interrupted  ShuttingDown
    ├── Overloaded
    ├── LimitError            a limit of the caller or of all callers; in core/limits/errors.py
    │   └── RateLimited  BudgetExhausted
    └── StorageError
        └── StorageUnavailable  StorageBusy  StorageFull

An error carries what a caller may know: `code` (stable), `detail` (our own text, never an upstream's) and, where the
input is invalid, the fields. `web/http/problems.py` gives each code its HTTP status; a test proves that table complete.

Longer than other modules: the tree is easier to read in one piece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

# A body with a hundred thousand unknown fields must not get an answer of that length.
MAX_FIELDS = 50
UNEXPECTED = "An unexpected error occurred."


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path such as `parameters.lines`; `message` says what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field} {self.message}"


class ServiceError(Exception):
    """`retryable`: the same call may succeed later. `retry_after_s`: when, if known.

    `max_attempts`: how often in all the service calls the provider before it answers with this error. `may_be_billed`:
    the provider may bill a call that ended with this error, although it reported no tokens. That is for calls that brought
    no text; with text, every call may be billed (`AttemptBilling`).
    """

    code: str = "internal-error"
    retryable: ClassVar[bool] = False
    max_attempts: int = 1
    may_be_billed: bool = True

    def __init__(
        self, detail: str = UNEXPECTED, *, fields: Sequence[FieldError] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s


class InputError(ServiceError):
    code = "invalid-input"
    may_be_billed = False


class InvalidInput(InputError):
    """Values are missing, unknown, of the wrong type or out of bounds. `fields` has at most `MAX_FIELDS` of them."""

    @classmethod
    def of(cls, fields: Sequence[FieldError]) -> "InvalidInput":
        named = list(dict.fromkeys(error.field for error in fields))
        more = f" and {len(named) - MAX_FIELDS} more" if len(named) > MAX_FIELDS else ""
        noun = "field" if len(named) == 1 else "fields"
        return cls(f"Invalid {noun}: {', '.join(named[:MAX_FIELDS])}{more}.", fields=fields[:MAX_FIELDS])


class InvalidCharacter(InputError):
    """A text contains NUL or half of a surrogate pair, which cannot be stored."""

    code = "invalid-character"


class UnknownTemplate(InputError):
    """`in_path`: the id is part of the URL, so the answer is 404 instead of 422."""

    code = "unknown-template"

    def __init__(self, template_id: str, *, in_path: bool = False) -> None:
        shown = template_id if len(template_id) <= 64 else template_id[:64] + "..."
        super().__init__(
            f"There is no template {shown!r}. GET /api/v1/templates lists them.",
            fields=[] if in_path else [FieldError("template_id", "is not a template of this service")],
        )
        self.in_path = in_path
        self.shown = shown


class UnknownModel(InputError):
    code = "unknown-model"

    def __init__(self, model: str, allowed: Sequence[str] | None) -> None:
        """`allowed` None: the provider does not know the model. Empty: the caller's key allows no model."""
        if allowed is None:
            message = "is unknown to the model provider"
        elif allowed:
            message = f"must be one of: {', '.join(allowed)}"
        else:
            message = "is not allowed: this API key allows none of the service's models"
        self._describe(model, message)

    def _describe(self, model: str, message: str) -> None:
        fields = [FieldError("model", message)]
        ServiceError.__init__(self, f"The model {model[:100]!r} cannot be used: it {message}.", fields=fields)


class UnpricedModel(UnknownModel):
    """The model's price is unknown, so a budget in US dollars cannot be enforced."""

    def __init__(self, model: str) -> None:
        self._describe(model, "has no known price, and a budget in US dollars applies")


class UpstreamRejected(InputError):
    """The provider rejected the request, for example an option that the model does not know."""

    code = "upstream-rejected"


class TooLongForModel(UpstreamRejected):
    """The text, with the room for the answer, is longer than the model can read."""

    code = "too-long-for-model"


class ContentFiltered(UpstreamRejected):
    """The provider's filter refused the text, or ended the answer."""

    code = "content-filtered"


class IdempotencyConflict(InputError):
    """A request with the same Idempotency-Key is still running."""

    code = "idempotency-conflict"


class IdempotencyMismatch(InputError):
    """The same Idempotency-Key was used with another body."""

    code = "idempotency-mismatch"


class NotFound(ServiceError):
    code = "not-found"


class UpstreamError(ServiceError):
    code = "upstream-error"
    retryable = True
    max_attempts = 3


class UpstreamUnreachable(UpstreamError):
    code = "upstream-unreachable"


class UpstreamSetupError(UpstreamError):
    """The operator has to fix it: calling again does not help."""

    may_be_billed = False
    retryable = False
    max_attempts = 1


class UpstreamTls(UpstreamSetupError):
    code = "upstream-tls"


class UpstreamAuth(UpstreamSetupError):
    code = "upstream-auth"


class UpstreamProxy(UpstreamSetupError):
    """The proxy between the service and the provider refuses to connect them."""

    code = UpstreamUnreachable.code


class UpstreamQuota(UpstreamSetupError):
    code = "upstream-quota"


class UpstreamRateLimited(UpstreamError):
    code = "upstream-rate-limited"
    may_be_billed = False


class UpstreamRedirect(UpstreamSetupError):
    code = "upstream-redirect"


class UpstreamTruncated(UpstreamError):
    """The answer ended without its terminal event, so it is incomplete."""

    code = "upstream-truncated"


class UpstreamInvalidResponse(UpstreamError):
    code = "upstream-invalid-response"
    max_attempts = 2


class UpstreamMisconfigured(UpstreamSetupError):
    code = "upstream-misconfigured"


class UpstreamModelUnknown(UpstreamMisconfigured):
    """The provider has no such model. If the caller chose it, it becomes `UnknownModel`."""


class OutputTooLarge(UpstreamError):
    code = "output-too-large"
    retryable = False
    max_attempts = 1


class InvalidOutput(UpstreamError):
    """The answer is complete but not the JSON that its template declares. `fields` says where."""

    code = "invalid-output"
    max_attempts = 1

    @classmethod
    def of(cls, fields: Sequence[FieldError], why: str = "") -> "InvalidOutput":
        """`why`: a sentence about the likely cause."""
        detail = "The model's answer does not match the template's outputs."
        return cls(f"{detail} {why}" if why else detail, fields=fields)


class UpstreamTimeout(UpstreamError):
    code = "upstream-timeout"
    max_attempts = 2


class UpstreamUnavailable(UpstreamError):
    """The provider says that it is unavailable, or it or the model failed so often that it is not called for a while."""

    code = "upstream-unavailable"
    may_be_billed = False


class UpstreamLoading(UpstreamUnavailable):
    """The server is loading the model. It is asked again for a while, by rules of its own, before this is the answer."""

    max_attempts = 1


class DeadlineExceeded(UpstreamError):
    code = "deadline-exceeded"
    retryable = False
    max_attempts = 1


class Ended(ServiceError):
    """Not the provider's fault. The text so far is kept."""

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
    """An error as plain values: each caller who shares a call gets an error of their own. `kind` is a class's name."""

    kind: str
    detail: str
    fields: tuple[FieldError, ...] = ()
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        if not isinstance(error, ServiceError):
            return cls("ServiceError", UNEXPECTED)
        return cls(type(error).__name__, error.detail, error.fields, error.retry_after_s)

    def error(self) -> ServiceError:
        """A new error with the same content."""
        kind = next(error_class for error_class in all_errors() if error_class.__name__ == self.kind)
        error = kind.__new__(kind)
        ServiceError.__init__(error, self.detail, fields=self.fields, retry_after_s=self.retry_after_s)
        return error


def all_errors(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """All classes of the tree, the root first."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def error_of_code(code: str, detail: str) -> ServiceError:
    """The error with which a stored generation ended."""
    kind = next((error_class for error_class in all_errors() if error_class.code == code), ServiceError)
    return Failure(kind.__name__, detail).error()
