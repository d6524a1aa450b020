"""Generations as frozen values: what is asked for, what is sent, what is answered and stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..errors import Failure
from ..messages import HasMessages, Messages
from ..templates.outputs import OutputFormat
from ..usage.tokens import NOT_REPORTED, Usage

SNIPPET_CHARS = 160


class Status(StrEnum):
    """The states of a generation; all but `running` are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class CacheMode(StrEnum):
    """What the caller's `Cache-Control` asks: use the cache, skip the lookup, or neither look up nor store."""

    DEFAULT = "default"
    NO_CACHE = "no-cache"
    NO_STORE = "no-store"


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What a caller asks for. `model` None = the template's own, or the default."""

    template_id: str
    input: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    cache_mode: CacheMode = CacheMode.DEFAULT


@dataclass(frozen=True, slots=True)
class ProviderCall(HasMessages):
    """Exactly what goes to the provider. `output` None = the answer is plain text.

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
    """The provider's terminal event. `text` is the whole answer, that is, all deltas joined."""

    status: Status
    text: str
    usage: Usage
    model: str
    incomplete_reason: str | None = None
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retrying:
    """The call failed and is made again, as attempt number `attempt`; the text that came so far is void.

    `may_be_billed`: the attempt that failed may be on the bill although it reported no tokens.
    """

    attempt: int
    may_be_billed: bool = True


@dataclass(frozen=True, slots=True)
class Billed:
    """An attempt failed and reported its tokens all the same: they are billed like an answer's."""

    usage: Usage


ProviderEvent = Delta | Retrying | Billed | Done


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a shared call ended: with `done`, or with `failure`. Plain values, as everyone who shares it gets them."""

    done: Done | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key for one request. `fingerprint` is that of the body; `route` the address it came to."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The request that has a key already."""

    request_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A complete answer as the cache keeps it. `answer_id` is the generation whose stored texts it shares.

    `cost_usd` is what it cost to get, and so what using it again saves; None = unknown.
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
    """What a list shows of a generation: no texts beyond `snippet`, the first words of the input.

    `usage` is that of the answer, whoever paid for it. `cost_usd` is what this request cost, `saved_usd` what it would have
    cost without the cache and without sharing a call; None = unknown. `created_ms` is Unix time in milliseconds;
    `latency_ms` None while it runs. `match`: the words around the place that a search found.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation(GenerationSummary, HasMessages):
    """One request and its answer, whole: a row of the history and the body of a response.

    `answer_id` names the generation whose texts this one shares (its own id unless it was served from the cache).
    `model` is the one asked for; `cache_key` the SHA-256 of all that was sent. `structured`: the template declares that
    the answer is JSON, and a complete one was checked. `billed` is what the provider bills for this request, failed
    attempts included; None in it = unknown. `price_version` names the list that priced it. `unreported` is how many of its
    attempts may be on the bill without having reported their tokens; None = not known: it is not stored.
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

    @property
    def has_texts(self) -> bool:
        """False where the history keeps none; no request has an empty input."""
        return self.input != ""

    def without_texts(self) -> "Generation":
        return replace(self, snippet="", input="", parameters={}, messages=(), output=None)


@dataclass(frozen=True, slots=True)
class CacheStats:
    backend: str
    entries: int
    max_entries: int
    hits: int
    misses: int
    coalesced: int


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """How the calls to the provider are doing in this process. `circuit`: `closed`, `open` or `half-open`."""

    in_flight: int
    slots: int
    circuit: str
    retries_last_minute: int


def snippet_of(text: str) -> str:
    """The first words on one line, as lists show them."""
    return " ".join(text[: SNIPPET_CHARS * 2].split())[:SNIPPET_CHARS]
