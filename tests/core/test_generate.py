"""The main job with the real echo provider, the real memory cache, and a history that keeps everything in a list."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from llm_service.adapters.cache_memory import MemoryCache
from llm_service.adapters.echo import EchoProvider
from llm_service.adapters.prompt_files import load_prompts
from llm_service.core import errors
from llm_service.core.allowed_models import AllowedModels
from llm_service.core.generate import Finished, Generate, Limits, Started
from llm_service.core.model import (
    CacheMode,
    Delta,
    Done,
    GenerateRequest,
    Generation,
    GenerationSummary,
    ProviderCall,
    ProviderEvent,
    Status,
    Usage,
)  # fmt: skip
from tests.conftest import ROOT

ASKED = GenerateRequest("basic_chat_v1", "Hello", {"tone": "simple"})


class ListHistory:
    """Keeps each generation by id, and every write in order."""

    def __init__(self) -> None:
        self.rows: dict[str, Generation] = {}
        self.writes: list[tuple[str, Status]] = []
        self.deleted_meanwhile = False

    def start(self, generation: Generation) -> None:
        self._write("start", generation)

    def finish(self, generation: Generation) -> bool:
        self._write("finish", generation)
        return not self.deleted_meanwhile

    def record_hit(self, generation: Generation) -> None:
        self._write("hit", generation)

    def _write(self, kind: str, generation: Generation) -> None:
        self.rows[generation.request_id] = generation
        self.writes.append((kind, generation.status))

    def get(self, owner: str, request_id: str) -> Generation | None:
        return self.rows.get(request_id)

    def newest(
        self, owner: str, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[tuple[int, GenerationSummary]]:
        return []

    def export(self, owner: str) -> Iterator[Generation]:
        return iter(self.rows.values())

    def delete(self, owner: str, request_id: str) -> str | None:
        return None

    def delete_all(self, owner: str) -> int:
        return 0

    def interrupt_older_than(self, created_ms: int) -> int:
        return 0

    def check(self) -> None: ...

    def close(self) -> None: ...


class ScriptedProvider(EchoProvider):
    """Yields what it is given, raises what is an error, and counts its calls."""

    def __init__(self, *events: ProviderEvent | Exception) -> None:
        super().__init__()
        self.events = events
        self.calls: list[ProviderCall] = []
        self.closed = 0

    def stream(self, call: ProviderCall, deadline: float) -> Generator[ProviderEvent, None, None]:
        self.calls.append(call)
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed += 1


class Clock:
    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class World:
    """A generate service and its surroundings."""

    def __init__(self, provider: EchoProvider, **limits: object) -> None:
        self.provider = provider
        self.history = ListHistory()
        self.cache = MemoryCache(ttl_s=60, max_entries=10)
        self._ids = count(1)
        self.generate = Generate(
            templates=load_prompts(Path(ROOT / "prompts"), default_max_chars=5000),
            models=AllowedModels("m1", ("m1", "m2")),
            provider=provider,
            cache=self.cache,
            history=self.history,
            clock=Clock(),
            limits=replace(Limits(), **limits),  # type: ignore[arg-type]
        )

    def run(self, asked: GenerateRequest = ASKED, owner: str = "local") -> Finished:
        return self.generate.run(asked, owner, f"id-{next(self._ids)}")


DONE = Done(Status.COMPLETED, "ab", Usage(1, 2, 3), "m1")
WORD = (Delta("a"), Delta("b"), DONE)


def test_a_miss_then_a_hit() -> None:
    world = World(ScriptedProvider(*WORD))
    first, second = world.run(), world.run()
    assert (first.generation.cached, first.stored_in_cache, second.generation.cached) == (False, True, True)
    assert first.generation.cost_usd is None, "no price is known"
    assert second.generation.cost_usd == Decimal(0)
    assert second.generation.usage == first.generation.usage == Usage(1, 2, 3)
    assert second.generation.output == "ab"
    assert second.generation.answer_id == first.generation.request_id != second.generation.request_id
    assert len(world.provider.calls) == 1  # type: ignore[attr-defined]
    assert world.history.writes == [("start", "running"), ("finish", "completed"), ("hit", "completed")]


def test_the_row_is_there_before_the_call_and_the_outcome_before_the_end() -> None:
    world = World(ScriptedProvider(*WORD))
    events = world.generate.stream(ASKED, "local", "id-1")
    assert isinstance(next(events), Started)
    assert world.history.writes == [("start", "running")]
    assert world.provider.calls == []  # type: ignore[attr-defined]
    assert [next(events), next(events)] == [Delta("a"), Delta("b")]
    assert world.history.writes == [("start", "running")]
    assert isinstance(next(events), Finished)
    assert world.history.writes[-1] == ("finish", "completed")


def test_unknown_usage_stays_unknown() -> None:
    world = World(ScriptedProvider(replace(DONE, usage=Usage())))
    assert world.run().generation.usage == world.run().generation.usage == Usage()


@pytest.mark.parametrize(
    ("mode", "looked_up", "stored"),
    [(CacheMode.DEFAULT, True, True), (CacheMode.NO_CACHE, False, True), (CacheMode.NO_STORE, False, False)],
)
def test_cache_modes(mode: CacheMode, looked_up: bool, stored: bool) -> None:
    world = World(ScriptedProvider(*WORD))
    assert world.run(replace(ASKED, cache_mode=mode)).stored_in_cache is stored
    world.run()
    assert world.run(replace(ASKED, cache_mode=mode)).generation.cached is looked_up


def test_the_cache_belongs_to_one_owner_unless_it_is_shared() -> None:
    for share, cached in ((False, False), (True, True)):
        world = World(ScriptedProvider(*WORD), share_cache=share)
        world.run(owner="alice")
        assert world.run(owner="bob").generation.cached is cached


def test_an_incomplete_answer_is_answered_and_not_cached() -> None:
    done = replace(DONE, status=Status.INCOMPLETE, incomplete_reason="max_output_tokens")
    world = World(ScriptedProvider(Delta("ab"), done))
    first = world.run()
    assert (first.generation.status, first.generation.incomplete_reason) == (Status.INCOMPLETE, "max_output_tokens")
    assert world.run().generation.cached is False


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.UpstreamTruncated("cut"), "upstream-truncated"), (ZeroDivisionError(), "internal-error")],
)
def test_a_failure_is_recorded_with_what_came_and_never_cached(error: Exception, code: str) -> None:
    world = World(ScriptedProvider(Delta("par"), Delta("tial"), error))
    with pytest.raises(type(error)):
        world.run()
    row = world.history.rows["id-1"]
    assert (row.status, row.error, row.output, row.usage) == (Status.FAILED, code, "partial", Usage())
    assert row.finished_ms is not None
    assert world.cache.stats().entries == 0
    assert world.provider.closed == 1  # type: ignore[attr-defined]


def test_bad_input_reaches_neither_history_nor_provider() -> None:
    world = World(ScriptedProvider(*WORD))
    for asked, error in [
        (replace(ASKED, template_id="nope_v1"), errors.UnknownTemplate),
        (replace(ASKED, parameters={"tone": "loud"}), errors.InvalidInput),
        (replace(ASKED, input="a\x00"), errors.InvalidCharacter),
        (replace(ASKED, model="m3"), errors.UnknownModel),
    ]:
        with pytest.raises(error):
            world.run(asked)
    assert (world.history.writes, world.provider.calls) == ([], [])  # type: ignore[attr-defined]


def test_what_was_deleted_while_it_ran_is_not_cached() -> None:
    world = World(ScriptedProvider(*WORD))
    world.history.deleted_meanwhile = True
    assert world.run().stored_in_cache is False
    assert world.cache.stats().entries == 0


def test_a_hit_from_other_values_keeps_its_own_texts() -> None:
    world = World(ScriptedProvider(*WORD))
    world.run(replace(ASKED, parameters={}))
    hit = world.run(replace(ASKED, parameters={"tone": "neutral"})).generation
    assert (hit.cached, hit.answer_id) == (True, hit.request_id)


def test_the_caller_is_blamed_for_a_model_only_if_it_was_the_callers_choice() -> None:
    world = World(ScriptedProvider(errors.UpstreamModelUnknown("no such model")))
    with pytest.raises(errors.UnknownModel):
        world.run(replace(ASKED, model="m2"))
    with pytest.raises(errors.UpstreamModelUnknown):
        world.run()
    assert [row.error for row in world.history.rows.values()] == ["unknown-model", "upstream-misconfigured"]


def test_options_and_model_are_sent() -> None:
    world = World(ScriptedProvider(*WORD), max_output_tokens=50)
    world.run(replace(ASKED, model="m2"))
    (call,) = world.provider.calls  # type: ignore[attr-defined]
    assert (call.model, call.options) == ("m2", {"max_output_tokens": 50})


def test_the_echo_says_what_it_is() -> None:
    finished = World(EchoProvider()).run()
    assert (finished.generation.output or "").startswith("Echo (no model was asked): ")
    cut = World(EchoProvider(), max_output_tokens=3).run().generation
    assert (cut.status, cut.usage.output_tokens, cut.incomplete_reason) == (Status.INCOMPLETE, 3, "max_output_tokens")
