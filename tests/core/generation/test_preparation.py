"""From a request to exactly what would be sent."""

from dataclasses import replace
from pathlib import Path

import pytest

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.adapters.providers.retry import ResilientProvider
from llm_service.core.access.caller import LOCAL, Allowance
from llm_service.core.errors import InvalidInput, UnknownModel, UnknownTemplate
from llm_service.core.generation.cache_key import cache_key
from llm_service.core.generation.model import CacheMode, GenerateRequest
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.ports import Candidate
from llm_service.core.generation.preparation import GenerationSettings, RequestPreparer
from llm_service.core.limits.rules import BUDGET_OUTPUT_TOKENS
from llm_service.core.templates.registry import TemplateRegistry
from tests.support.clocks import ManualClock
from tests.support.templates import ListRevisions, registry_of, revisions_of
from tests.support.world import OneProvider

ASKED = GenerateRequest("basic_chat", "Hello", {"tone": "simple"})
BUDGET = Allowance(tokens_per_day=1000)


def preparer(**settings: object) -> RequestPreparer:
    models = AllowedModels("m1", ("m1", "m2"))
    bounds = GenerationSettings(**settings)  # type: ignore[arg-type]
    return RequestPreparer(registry_of(), models, OneProvider(), bounds, ManualClock(), revisions_of(registry_of()))


def test_it_finds_renders_and_chooses() -> None:
    prepared = preparer().prepare(ASKED, LOCAL)
    assert (prepared.template.template_id, prepared.call.model) == ("basic_chat_v1", "m1")
    assert prepared.call.user_prompt == "Hello"
    assert "simple" in prepared.call.system_prompt
    assert (prepared.request, prepared.caller) == (ASKED, LOCAL)
    assert preparer().prepare(replace(ASKED, model="m2"), LOCAL).call.model == "m2"


def test_the_key_is_that_of_the_call_and_its_owner() -> None:
    preparing = preparer()
    mine, other = preparing.prepare(ASKED, LOCAL), preparing.prepare(ASKED, replace(LOCAL, owner="bob"))
    assert mine.cache_key == cache_key(mine.call, provider="echo:1", scope="local")
    assert mine.cache_key != other.cache_key
    assert preparing.key_parts(other)["scope"] == "bob"


FLAGGED = """---
name: Flagged
description: A flag.
inputs:
  - name: input
    kind: string
    description: The text.
    required: true
    maxLength: 100000
  - name: flag
    kind: boolean
    description: The flag.
    default: false
---
system:
SYSTEM {{flag}}

user:
{{input}}
"""


def flagged(folder: Path, system: str = "Say") -> TemplateRegistry:
    (folder / "flagged_v1.prompty").write_text(FLAGGED.replace("SYSTEM", system))
    return registry_of(folder)


def preparer_of(registry: TemplateRegistry) -> RequestPreparer:
    settings, revisions = GenerationSettings(), revisions_of(registry)
    return RequestPreparer(registry, AllowedModels("m1", ()), OneProvider(), settings, ManualClock(), revisions)


def test_a_repeated_request_is_the_same_call() -> None:
    preparing = preparer()
    first, second = preparing.prepare(ASKED, LOCAL), preparing.prepare(replace(ASKED), LOCAL)
    assert second.call is first.call, "it was rendered again"
    assert second == first


@pytest.mark.parametrize("mode", [CacheMode.NO_CACHE, CacheMode.NO_STORE])
def test_a_request_past_the_cache_is_not_remembered(mode: CacheMode) -> None:
    preparing, asked = preparer(), replace(ASKED, cache_mode=mode)
    assert preparing.prepare(asked, LOCAL).call is not preparing.prepare(asked, LOCAL).call
    assert preparing.prepare(asked, LOCAL).call is not preparing.prepare(ASKED, LOCAL).call


def test_equal_values_of_other_types_are_other_requests(tmp_path: Path) -> None:
    """In Python, 1 and True are equal."""
    preparing = preparer_of(flagged(tmp_path))
    asked = GenerateRequest("flagged", "Hello", {"flag": True})
    assert preparing.prepare(asked, LOCAL).call.system_prompt == "Say True"
    with pytest.raises(InvalidInput):
        preparing.prepare(replace(asked, parameters={"flag": 1}), LOCAL)


def test_options_are_part_of_the_call_and_remembered_with_it() -> None:
    preparing = preparer(max_output_tokens=50)
    plain = preparing.prepare(ASKED, LOCAL)
    warm = preparing.prepare(replace(ASKED, options={"temperature": 1.5}), LOCAL)
    long = preparing.prepare(replace(ASKED, options={"max_output_tokens": 900}), LOCAL)
    assert plain.call.options == {"max_output_tokens": 50}
    assert warm.call.options == {"max_output_tokens": 50, "temperature": 1.5}
    assert long.call.options == {"max_output_tokens": 900}
    assert len({plain.cache_key, warm.cache_key, long.cache_key}) == 3
    assert preparing.prepare(replace(ASKED, options={"temperature": 1.5}), LOCAL).call is warm.call
    with pytest.raises(InvalidInput, match=r"options\.temperature"):
        preparing.prepare(replace(ASKED, options={"temperature": True}), LOCAL)


def test_options_replace_those_of_the_template(tmp_path: Path) -> None:
    text = FLAGGED.replace("name: Flagged\n", "name: Flagged\nmodel: {options: {temperature: 1, topP: 0.5}}\n")
    text = text.replace("---\nsystem", "metadata: {overridable: [temperature]}\n---\nsystem")
    (tmp_path / "flagged_v1.prompty").write_text(text)
    prepared = preparer_of(registry_of(tmp_path)).prepare(
        GenerateRequest("flagged", "Hello", options={"temperature": 0}), LOCAL
    )
    assert prepared.call.options == {"temperature": 0, "top_p": 0.5}


def test_a_changed_template_renders_again(tmp_path: Path) -> None:
    registry = flagged(tmp_path)
    preparing, asked = preparer_of(registry), GenerateRequest("flagged", "Hello", {"flag": True})
    assert preparing.prepare(asked, LOCAL).call.system_prompt == "Say True"
    flagged(tmp_path, "Do not say")
    registry.refresh()
    assert preparing.prepare(asked, LOCAL).call.system_prompt == "Do not say True"


def test_long_messages_are_not_remembered(tmp_path: Path) -> None:
    preparing = preparer_of(flagged(tmp_path))
    for size, remembered in ((15_000, True), (50_000, False)):
        asked = GenerateRequest("flagged", "x" * size)
        assert (preparing.prepare(asked, LOCAL).call is preparing.prepare(asked, LOCAL).call) is remembered


def test_a_shared_cache_has_one_key_for_every_owner() -> None:
    preparing = preparer(share_cache=True)
    mine, other = preparing.prepare(ASKED, LOCAL), preparing.prepare(ASKED, replace(LOCAL, owner="bob"))
    assert mine.cache_key == other.cache_key
    assert preparing.key_parts(mine)["scope"] == "*"


@pytest.mark.parametrize(
    ("settings", "caller", "bound"),
    [
        ({}, LOCAL, None),
        ({"max_output_tokens": 50}, LOCAL, 50),
        ({}, replace(LOCAL, allowance=BUDGET), BUDGET_OUTPUT_TOKENS),
        ({"everyone": BUDGET}, LOCAL, BUDGET_OUTPUT_TOKENS),
        ({"max_output_tokens": 50, "everyone": BUDGET}, LOCAL, 50),
        ({}, replace(LOCAL, allowance=Allowance(concurrent=1)), None),
    ],
)
def test_a_budget_needs_a_bound(settings: dict[str, object], caller: object, bound: int | None) -> None:
    assert preparer(**settings).prepare(ASKED, caller).call.options.get("max_output_tokens") == bound  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (replace(ASKED, template_id="nope"), UnknownTemplate),
        (replace(ASKED, model="m9"), UnknownModel),
        (replace(ASKED, parameters={"tone": "loud"}), InvalidInput),
        (replace(ASKED, input=" "), InvalidInput),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_paid(asked: GenerateRequest, error: type[Exception]) -> None:
    with pytest.raises(error):
        preparer().prepare(asked, LOCAL)


def test_a_key_s_models_bound_the_choice() -> None:
    with pytest.raises(UnknownModel, match="m2"):
        preparer().prepare(ASKED, replace(LOCAL, models=frozenset({"m2"})))


class Several(OneProvider):
    """Two providers that know a model by names of their own; the second one can be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.second = ResilientProvider(EchoProvider(), slots=1)

    def resolve(self, model: str) -> Candidate:
        found = super().resolve(model)
        provider = self.second if model == "m2" else found.provider
        return replace(found, provider=provider, sent_as=f"sent {model}")


def test_each_model_that_may_answer_has_its_call_and_its_key() -> None:
    providers = Several()
    preparing = RequestPreparer(
        registry_of(),
        AllowedModels("m1", ("m1>m2", "m3")),
        providers,
        GenerationSettings(max_output_tokens=7),
        ManualClock(),
        revisions_of(registry_of()),
    )
    prepared = preparing.prepare(ASKED, LOCAL)
    first, second = prepared.candidates
    assert (first.model, first.call.model, second.model, second.call.model) == ("m1", "sent m1", "m2", "sent m2")
    assert (second.provider, second.call.options) == (providers.second, {"max_output_tokens": 7})
    assert second.cache_key == cache_key(second.call, provider="echo:1", scope="local") != first.cache_key
    assert prepared.flight_key == f"{first.cache_key}>{second.cache_key}"
    alone = preparing.prepare(replace(ASKED, model="m3"), LOCAL)
    assert alone.flight_key == alone.cache_key == alone.first.cache_key


class Renaming(OneProvider):
    """Sends every model under another name."""

    def resolve(self, model: str) -> Candidate:
        return replace(super().resolve(model), sent_as=f"deployment-of-{model}")


def test_what_is_sent_has_the_providers_name_for_the_model() -> None:
    models, revisions = AllowedModels("m1", ()), revisions_of(registry_of())
    preparing = RequestPreparer(registry_of(), models, Renaming(), GenerationSettings(), ManualClock(), revisions)
    prepared = preparing.prepare(ASKED, LOCAL)
    assert (prepared.first.model, prepared.call.model) == ("m1", "deployment-of-m1")


class Changing:
    """A source of models that are replaced."""

    def __init__(self, current: AllowedModels) -> None:
        self.current = current


def test_a_new_list_of_models_is_used_at_once() -> None:
    models = Changing(AllowedModels("m1", ("m1", "m2"), revision=1))
    revisions = revisions_of(registry_of())
    preparing = RequestPreparer(registry_of(), models, OneProvider(), GenerationSettings(), ManualClock(), revisions)
    assert preparing.prepare(ASKED, LOCAL).first.model == "m1"
    models.current = AllowedModels("m2", ("m2",), revision=2)
    assert preparing.prepare(ASKED, LOCAL).first.model == "m2"
    with pytest.raises(UnknownModel):
        preparing.prepare(replace(ASKED, model="m1"), LOCAL)


def test_an_old_revision_is_prepared_as_it_was(tmp_path: Path) -> None:
    """Which models may answer is today's list's to say."""
    registry, store = flagged(tmp_path, "Whisper"), ListRevisions()
    revisions, old = revisions_of(registry, store), registry.current.get("flagged_v1")
    revisions.keep(replace(old, source=old.source.replace("---\n", "---\nmodel: m9\n", 1)))
    models = AllowedModels("m1", ("m1", "m2"))
    preparing = RequestPreparer(registry, models, OneProvider(), GenerationSettings(), ManualClock(), revisions)
    flagged(tmp_path, "Shout")
    assert registry.refresh()
    asked = GenerateRequest("flagged_v1", "Hello", {"flag": True}, "m2")
    now, before = preparing.prepare(asked, LOCAL), preparing.prepare(replace(asked, revision=old.revision), LOCAL)
    assert [each.call.system_prompt.split()[0] for each in (now, before)] == ["Shout", "Whisper"]
    assert (before.template.revision, before.first.model) == (old.revision, "m2")
    assert now.template.revision != old.revision
    with pytest.raises(UnknownModel):
        preparing.prepare(replace(asked, revision=old.revision, model=None), LOCAL)
    with pytest.raises(InvalidInput, match="revision"):
        preparing.prepare(replace(asked, revision="0" * 12), LOCAL)
