"""The generation service among fakes, with its real registry, limiter and threads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.sql.sqlite.disk_space import DiskSpace
from llm_service.core.access.caller import LOCAL
from llm_service.core.file_faults import FileFault
from llm_service.core.generation.bulkhead import Bulkhead
from llm_service.core.generation.in_flight import Collaborators, GenerationResult
from llm_service.core.generation.model import (
    AttemptStarted,
    Delta,
    Done,
    GenerateRequest,
    ProviderEvent,
    ProviderState,
    Retrying,
    Status,
    UpstreamState,
)
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.orphans import Orphans
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.ports import Candidate, ManagedProvider, Spawn
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.service import GenerationService
from llm_service.core.generation.subscriptions import Subscription, Subscriptions
from llm_service.core.generation.upstream import UpstreamCaller
from llm_service.core.limits.limiter import Limiter
from llm_service.core.usage.ports import Prices
from llm_service.core.usage.tokens import Usage
from llm_service.core.wake_ups import WakeUps
from tests.support.clocks import ManualClock
from tests.support.constants import ROOT
from tests.support.fakes import (
    DollarPrices,
    FakeLimits,
    ListGenerations,
    ListSpool,
    LivingProcesses,
    NothingCounted,
    RecordingReporter,
)
from tests.support.templates import registry_of, revisions_of

ASKED = GenerateRequest("basic_chat_v1", "Hello", {"tone": "simple"})
DONE = Done(Status.COMPLETED, "ab", Usage(1, 2, 3), "m1")
WORD = (Delta("a"), Delta("b"), DONE)


def again(attempt: int, *, may_be_billed: bool = True) -> tuple[ProviderEvent, ProviderEvent]:
    """What the retry loop says when it repeats a failed attempt."""
    return Retrying(may_be_billed), AttemptStarted(attempt)


class OneProvider:
    """Resolves every model to the same provider, except those of `others`."""

    def __init__(
        self, provider: ManagedProvider | None = None, others: Mapping[str, ManagedProvider] | None = None
    ) -> None:
        self._provider = provider or ResilientProvider(EchoProvider(), slots=10)
        self._others = others or {}

    def resolve(self, model: str) -> Candidate:
        return Candidate(model, self._others.get(model, self._provider), sent_as=model)

    def state(self) -> UpstreamState:
        bulkhead = self._provider.bulkhead
        return UpstreamState(bulkhead.in_use, bulkhead.size, "closed", 0)

    def states(self) -> Sequence[ProviderState]:
        return [ProviderState(self._provider.name, "test", (), self.state(), {}, self.health_error())]

    faults: Sequence[FileFault] = ()

    def health_error(self) -> str | None:
        return self._provider.health_error()

    warmed = True

    def warm(self) -> None:
        self._provider.warm()

    def close(self) -> None:
        self._provider.close()


class World:
    """A generation service and its surroundings; its background work runs in threads, time passes by hand."""

    def __init__(
        self,
        provider: EchoProvider,
        *,
        slots: int = 10,
        grace_s: float | None = 0.0,
        folder: Path = ROOT / "prompts",
        counted: FakeLimits | None = None,
        prices: Prices | None = None,
        spawn: Spawn | None = None,
        space: DiskSpace | None = None,
        models: tuple[str, ...] = ("m1", "m2"),
        others: Mapping[str, EchoProvider] | None = None,
        wake_ups: WakeUps | None = None,
        **settings: object,
    ) -> None:
        """`others`: the providers of single models, each with as many slots of its own."""
        self.provider = provider
        for other in (others or {}).values():
            other.bulkhead = Bulkhead(slots)  # type: ignore[attr-defined]
        self.slots = Bulkhead(slots)
        provider.bulkhead = self.slots  # type: ignore[attr-defined]
        self.clock = ManualClock()
        limits = counted or NothingCounted()
        self.store = ListGenerations(limits)
        self.cache = MemoryCache(ttl_s=60, max_entries=10, max_bytes=10_000_000)
        self.reporter = RecordingReporter()
        self.ids = count(1)
        self.spool = ListSpool()
        self.recorder = OutcomeRecorder(self.store, self.spool, self.clock, self.reporter)
        presence = LivingProcesses()
        self.registry = InFlightRegistry(
            self.clock, make_spawn(), self.reporter, self.store, presence, abandon_grace_s=grace_s, wake_ups=wake_ups
        )
        self.orphans = Orphans(self.store, limits, self.recorder, self.registry, presence, self.clock, expire_s=130)
        subscriptions = Subscriptions(self.registry, self.store, self.orphans, self.clock)
        self.running = RunningGenerations(self.registry, self.store, self.store, self.recorder, subscriptions, wake_ups)
        bounds = replace(GenerationSettings(), **settings)  # type: ignore[arg-type]
        prices = prices or DollarPrices()
        templates = registry_of(folder)
        revisions = revisions_of(templates)
        self.preparer = RequestPreparer(
            templates,
            AllowedModels("m1", models),
            OneProvider(provider, others),  # type: ignore[arg-type]  # they have their bulkheads from above
            bounds,
            self.clock,
            revisions,
        )
        self.single_flight = MemorySingleFlight()
        self.service = GenerationService(
            preparer=self.preparer,
            single_flight=self.single_flight,
            store=self.store,
            idempotency=None,
            upstream=UpstreamCaller(self.registry, self.clock, spawn or make_spawn(), self.reporter),
            registry=self.registry,
            subscriptions=subscriptions,
            collaborators=Collaborators(
                self.registry, self.recorder, self.cache, prices, self.clock, self.reporter, self._make_id
            ),
            settings=bounds,
            limiter=Limiter(limits, prices, self.clock, everyone=bounds.everyone, expire_s=130),
            space=space or DiskSpace(ROOT),
            revisions=revisions,
        )

    def _make_id(self) -> str:
        return f"texts-{next(self.ids)}"

    def run(self, asked: GenerateRequest = ASKED, owner: str = "local") -> GenerationResult:
        return self.service.run(asked, replace(LOCAL, owner=owner), f"id-{next(self.ids)}")

    def begin(self, asked: GenerateRequest = ASKED, *, detached: bool = False) -> Subscription:
        return self.service.begin(asked, LOCAL, f"id-{next(self.ids)}", detached=detached)


def heard(subscription: Subscription) -> tuple[str, GenerationResult]:
    """All of its text, and its end."""
    text = ""
    while True:
        event = subscription.next(30)
        assert event is not None, "nothing came"
        if isinstance(event, GenerationResult):
            return text, event
        text += event.text
