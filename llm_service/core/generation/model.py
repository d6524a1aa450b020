"""Generations as frozen values: what is requested, sent, answered and stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..errors import Failure
from ..messages import HasMessages, Messages
from ..templates.outputs import OutputFormat
from ..usage.tokens import NOT_REPORTED, Usage
from .tried_models import AnsweredBy, TriedModel

SNIPPET_CHARS = 160


class Status(StrEnum):
    """The states of a generation; all but `running` are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


# A request that ended so may be repeated with its Idempotency-Key.
FREES_KEY = frozenset({Status.FAILED, Status.CANCELLED, Status.INTERRUPTED})


class CacheMode(StrEnum):
    """The caller's `Cache-Control`: use the cache, skip the lookup, or neither look up nor store."""

    DEFAULT = "default"
    NO_CACHE = "no-cache"
    NO_STORE = "no-store"


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A caller's request. `model` None = the template's model, or the default.

    `revision`: one that was used before; None = the current one.
    `options`: those that replace the template's, which must allow that.
    """

    template_id: str
    input: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    cache_mode: CacheMode = CacheMode.DEFAULT
    revision: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderCall(HasMessages):
    """Exactly what is sent to the provider. `output` None = the answer is plain text.

    `options` have neutral names (`temperature`, `top_p`, `max_output_tokens`); the provider's adapter translates them.
    """

    model: str
    messages: Messages
    options: Mapping[str, Any]
    output: OutputFormat | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The provider's terminal event. `text` is the whole answer: all deltas joined.

    For JSON that was asked for, `text` may be a part of them: the JSON without the words or the fence around it.
    `cost_usd`: what the provider itself says that the call cost; None = it does not say.
    """

    status: Status
    text: str
    usage: Usage
    model: str
    incomplete_reason: str | None = None
    upstream_request_id: str | None = None
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Retrying:
    """The attempt failed, and after a pause the call is repeated; earlier text is void.

    `may_be_billed`: the failed attempt may be billed although it reported no tokens, as its error says.
    """

    may_be_billed: bool = True


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The pause is over: the call is sent again, as attempt number `attempt`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Billed:
    """A failed attempt reported its tokens: they are billed like an answer's. `cost_usd`: as in `Done`."""

    usage: Usage
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AnswerWarning:
    """Something that a person should know about an answer. `code` is stable; `message` is our own text."""

    code: str
    message: str


ProviderEvent = Delta | Retrying | AttemptStarted | Billed | Done


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a shared call ended: with `done` or with `failure`. Plain values, because all who share it get them.

    `answered_by` None: with the model that was asked first. `made_again`: by one that took a lost call over. If who led it
    lives, it may have another answer.
    """

    done: Done | None = None
    failure: Failure | None = None
    answered_by: AnsweredBy | None = None
    made_again: bool = False


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one request. `fingerprint` is that of the body, `route` the request's address."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The request that already has a key. With an outcome in `FREES_KEY` it no longer does."""

    request_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A complete answer in the cache. `answer_id` is the generation whose stored texts it shares.

    `cost_usd` is its cost, and so the saving of each reuse; None = unknown.
    """

    owner: str
    answer_id: str
    input: str
    parameters: Mapping[str, Any]
    output: str
    model: str
    usage: Usage
    cost_usd: Decimal | None = None
    price_version: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """A generation in a list: no texts except `snippet`, the first words of the input.

    `usage` is that of the answer, no matter who paid for it. `cost_usd` is the cost of this request, `saved_usd` what
    the cache or a shared call saved; None = unknown. `created_ms` is Unix time in milliseconds. `latency_ms` is None
    while it runs. `match`: the words around a search's match. `starred` and `tags` are the owner's marks (`core.history`).
    """

    request_id: str
    template_id: str
    template_revision: str
    model: str
    status: Status
    cached: bool
    snippet: str
    usage: Usage
    cost_usd: Decimal | None
    saved_usd: Decimal | None
    latency_ms: int | None
    created_ms: int
    error: str | None = None
    match: str | None = None
    starred: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation(GenerationSummary, HasMessages):
    """A request and its whole answer: a row of the history and the body of a response.

    `answer_id` is the generation whose texts this one shares (its own id unless it was served from the cache). `model`
    and `provider` are those that answered, or were asked last; `fallbacks` those that were tried before them. `cache_key` is the
    SHA-256 of all that was sent. `structured`: the template declares JSON
    outputs, and a complete answer was checked. `billed` is what the provider bills for this request, including failed
    attempts; None in it = unknown. `price_version` names the price list. `unreported`: the number of attempts that may
    be billed without having reported their tokens; None = unknown: the row is older, or its process died. `options`: those
    that the caller set.
    """

    owner: str
    answer_id: str
    provider: str
    input: str
    parameters: Mapping[str, Any]
    messages: Messages
    output: str | None = None
    structured: bool = False
    incomplete_reason: str | None = None
    cache_key: str = ""
    billed: Usage = NOT_REPORTED
    price_version: str | None = None
    attempts: int = 0
    unreported: int | None = None
    upstream_request_id: str | None = None
    finished_ms: int | None = None
    fallbacks: tuple[TriedModel, ...] = ()
    warnings: tuple[AnswerWarning, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_texts(self) -> bool:
        """False if the history keeps none; no request has an empty input."""
        return self.input != ""

    def without_texts(self) -> "Generation":
        return replace(self, snippet="", input="", parameters={}, messages=(), output=None)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`bytes`: the memory of the entries."""

    backend: str
    entries: int
    max_entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    coalesced: int


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """The state of this process's provider calls. `circuit`: `closed`, `open` or `half-open`."""

    in_flight: int
    slots: int
    circuit: str
    retries_last_minute: int


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider as this process sees it. `kind`: its wire format, or `echo`. `models`: their names in requests.

    `circuits`: of its models with calls lately. `health_error`: why calls would fail now; None = no known error.
    """

    name: str
    kind: str
    models: tuple[str, ...]
    upstream: UpstreamState
    circuits: Mapping[str, str]
    health_error: str | None


def snippet_of(text: str) -> str:
    """The first words on one line, for lists."""
    return " ".join(text[: SNIPPET_CHARS * 2].split())[:SNIPPET_CHARS]
