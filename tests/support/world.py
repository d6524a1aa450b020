"""The generation service among fakes, with its real registry, limiter and threads."""

from dataclasses import replace
from itertools import count
from pathlib import Path

from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.runtime.background import make_spawn
from llm_service.core.access.caller import LOCAL
from llm_service.core.generation.in_flight import Finished, InFlightRegistry
from llm_service.core.generation.model import (
    Delta,
    Done,
    GenerateRequest,
    Status,
)
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.generation.running import RunningGenerations
from llm_service.core.generation.service import GenerationService
from llm_service.core.generation.subscriptions import Subscription
from llm_service.core.generation.upstream import Bulkhead, UpstreamCaller
from llm_service.core.limits.limiter import Limiter
from llm_service.core.limits.ports import LimitStore
from llm_service.core.usage.tokens import Usage
from tests.support.clocks import Clock
from tests.support.constants import ROOT
from tests.support.fakes import ListHistory, ListSpool, NothingCounted, Prices, RecordingReporter
from tests.support.templates import library_of

ASKED = GenerateRequest("basic_chat_v1", "Hello", {"tone": "simple"})
DONE = Done(Status.COMPLETED, "ab", Usage(1, 2, 3), "m1")
WORD = (Delta("a"), Delta("b"), DONE)


class World:
    """A generate service and its surroundings; its background work runs in threads."""

    def __init__(
        self,
        provider: EchoProvider,
        *,
        slots: int = 10,
        grace_s: float | None = 0.0,
        folder: Path = ROOT / "prompts",
        counted: LimitStore | None = None,
        **limits: object,
    ) -> None:
        self.provider = provider
        self.history = ListHistory(counted or NothingCounted())
        self.cache = MemoryCache(ttl_s=60, max_entries=10)
        self.heard = RecordingReporter()
        self.slots = Bulkhead(slots)
        self.ids = count(1)
        self.spool = ListSpool()
        self.outcomes = OutcomeRecorder(self.history, self.spool, Clock(), self.heard)
        self.runs = InFlightRegistry(
            history=self.history,
            outcomes=self.outcomes,
            clock=Clock(),
            reporter=self.heard,
            make_id=lambda: f"texts-{next(self.ids)}",
            abandon_grace_s=grace_s,
        )
        calls = UpstreamCaller(
            provider=provider,
            prices=Prices(),
            cache=self.cache,
            history=self.history,
            outcomes=self.outcomes,
            clock=Clock(),
            runs=self.runs,
            slots=self.slots,
            spawn=make_spawn(),
            reporter=self.heard,
        )
        self.live = RunningGenerations(self.runs, self.history, Clock())
        bounds = replace(GenerationSettings(), **limits)  # type: ignore[arg-type]
        self.library = library_of(folder)
        self.prepare = RequestPreparer(self.library, AllowedModels("m1", ("m1", "m2")), provider.identity, bounds)
        self.generate = GenerationService(
            prepare=self.prepare,
            provider=provider.name,
            cache=self.cache,
            flights=MemorySingleFlight(),
            history=self.history,
            calls=calls,
            runs=self.runs,
            clock=Clock(),
            limits=bounds,
            limiter=Limiter(self.history.limits, Prices(), Clock(), everyone=bounds.everyone, lapse_s=130),
        )

    def run(self, asked: GenerateRequest = ASKED, owner: str = "local") -> Finished:
        return self.generate.run(asked, replace(LOCAL, owner=owner), f"id-{next(self.ids)}")

    def begin(self, asked: GenerateRequest = ASKED, *, kept: bool = False) -> Subscription:
        return self.generate.begin(asked, LOCAL, f"id-{next(self.ids)}", kept=kept)


def heard(subscription: Subscription) -> tuple[str, Finished]:
    """All of its text, and its end."""
    text = ""
    while True:
        event = subscription.next(5)
        assert event is not None, "nothing came in five seconds"
        if isinstance(event, Finished):
            return text, event
        text += event.text
