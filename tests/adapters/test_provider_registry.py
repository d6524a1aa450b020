"""The registry among sources and providers that fail."""

from collections.abc import Sequence

import pytest

from llm_service.adapters.providers.configured.config import Connection
from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.prices import ModelPrices
from llm_service.adapters.providers.registry import Managed, ProviderRegistry, ProviderSet
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.core.errors import UnknownModel
from llm_service.core.file_faults import FileFault, FileFaults
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.ports import Candidate


class Tracked(EchoProvider):
    """Counts how often it was warmed and closed; `broken`: it cannot be warmed."""

    def __init__(self, name: str, *, broken: bool = False) -> None:
        super().__init__(name=name)
        self.warmings = 0
        self.closings = 0
        self._broken = broken

    def warm(self) -> None:
        if self._broken:
            raise ZeroDivisionError
        self.warmings += 1

    def close(self) -> None:
        self.closings += 1


def _of(provider: ResilientProvider) -> Connection:
    return Connection(provider.name, "echo", slots=5, idle_timeout_s=1)


def set_of(*providers: ResilientProvider) -> ProviderSet:
    """Each has one model, of its own name."""
    names = tuple(provider.name for provider in providers)
    return ProviderSet(
        tuple(Managed(_of(provider), provider, {provider.name: provider.name}) for provider in providers),
        {},
        AllowedModels(names[0], names),
        {provider.name: Candidate(provider.name, provider, provider.name) for provider in providers},
    )


def managed(provider: Tracked) -> ResilientProvider:
    return ResilientProvider(provider, slots=5)


class Source:
    """Gives what it is told to give, or raises it. `saved`: how often the last good text was saved."""

    def __init__(self) -> None:
        self.next: ProviderSet | Exception | None = None
        self.saved = 0
        self.full = False

    def changed(self) -> bool:
        return self.next is not None

    def load(self, current: ProviderSet) -> ProviderSet:
        given, self.next = self.next, None
        assert given is not None
        if isinstance(given, Exception):
            raise given
        return given

    def save_last_good(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.saved += 1


class Reporter:
    def __init__(self) -> None:
        self.told: list[str] = []

    def providers_changed(self, names: Sequence[str]) -> None:
        self.told.append(f"changed: {', '.join(names)}")

    def providers_refused(self, faults: Sequence[FileFault]) -> None:
        self.told.append(f"refused: {len(faults)}")

    def providers_not_kept(self, error: OSError) -> None:
        self.told.append(f"not kept: {error.strerror}")


class World:
    def __init__(self) -> None:
        self.a, self.b = Tracked("a"), Tracked("b")
        self.first, self.second = managed(self.a), managed(self.b)
        self.source, self.reporter = Source(), Reporter()
        self.registry = ProviderRegistry(
            set_of(self.first, self.second), ModelPrices({}, {}), self.source, self.reporter
        )

    def refresh(self, given: ProviderSet | Exception) -> None:
        self.source.next = given
        assert self.registry.refresh(), "the files have changed"


def test_new_providers_are_warm_before_they_are_used_and_old_ones_are_closed() -> None:
    world, c = World(), Tracked("c")
    world.refresh(set_of(world.second, managed(c)))
    assert (c.warmings, world.b.warmings, world.a.closings, world.b.closings) == (1, 0, 1, 0)
    assert world.registry.current.listed == ["b", "c"]
    with pytest.raises(UnknownModel, match="must be one of: b, c"):
        world.registry.resolve("a")
    assert (world.reporter.told, world.source.saved) == (["changed: b, c"], 1)


def test_calls_of_replaced_providers_count_until_they_end() -> None:
    world = World()
    world.first.bulkhead.acquire()
    world.refresh(set_of(world.second))
    assert (world.registry.state().in_flight, world.registry.state().slots) == (1, 5)
    world.first.bulkhead.release()
    assert world.registry.state().in_flight == 0
    world.registry.refresh()
    world.first.bulkhead.acquire()
    assert world.registry.state().in_flight == 0, "it is forgotten"


def test_faults_keep_the_last_good_providers() -> None:
    world = World()
    world.refresh(FileFaults([FileFault("/etc/p.yml", 3, "is wrong"), FileFault("/etc/p.yml", None, "is odd")]))
    assert world.registry.health_error() == "p.yml:3: is wrong; p.yml: is odd"
    assert world.registry.current.listed == ["a", "b"]
    assert (world.reporter.told, world.source.saved) == (["refused: 2"], 0)
    world.refresh(set_of(world.first))
    assert (world.registry.health_error(), world.registry.faults) == (None, ())


@pytest.mark.parametrize("where", ["while it is read", "while it is warmed"])
def test_a_bug_keeps_the_last_good_providers_and_is_not_hidden(where: str) -> None:
    world = World()
    with pytest.raises(ZeroDivisionError):
        world.refresh(ZeroDivisionError() if "read" in where else set_of(managed(Tracked("c", broken=True))))
    assert world.registry.current.listed == ["a", "b"]
    assert world.a.closings == 0
    error = "the providers file: cannot be used because of an internal error (ZeroDivisionError)"
    assert world.registry.health_error() == error


def test_a_full_disk_does_not_stop_a_change() -> None:
    world = World()
    world.source.full = True
    world.refresh(set_of(world.first))
    assert world.registry.current.listed == ["a"]
    assert world.reporter.told == ["changed: a", "not kept: No space left on device"]


def test_one_provider_answers_every_model() -> None:
    only = managed(Tracked("openai"))
    models = AllowedModels("m", ("m",))
    registry = ProviderRegistry(
        ProviderSet((Managed(_of(only), only, {"m": "m"}),), {}, models, {}, only), ModelPrices({}, {})
    )
    assert registry.resolve("anything/at:all") == Candidate("anything/at:all", only, "anything/at:all")
    registry.refresh()
    assert registry.current is models
