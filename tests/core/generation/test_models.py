"""Which model answers: the caller's choice, the template's own, or the default; and which callers may choose which."""

from dataclasses import replace

import pytest

from llm_service.core.access.caller import LOCAL
from llm_service.core.errors import UnknownModel
from llm_service.core.generation.models import AllowedModels
from tests.support.templates import registry_of

PLAIN = registry_of().current.get("basic_chat_v1")
OWN = replace(PLAIN, model="m9")
MODELS = AllowedModels("m1", ("m1", "m2"))


@pytest.mark.parametrize(
    ("asked", "template", "chosen"),
    [(None, PLAIN, "m1"), ("m2", PLAIN, "m2"), (None, OWN, "m9"), ("m9", OWN, "m9"), ("m2", OWN, "m2")],
)
def test_the_choice(asked: str | None, template: object, chosen: str) -> None:
    assert MODELS.choose(asked, template) == (chosen,)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", ["m9", "M1", "m1 ", "x" * 500])
def test_what_is_not_allowed_is_refused_with_what_is(asked: str) -> None:
    with pytest.raises(UnknownModel) as raised:
        MODELS.choose(asked, PLAIN)
    assert raised.value.fields[0].message == "must be one of: m1, m2"


def test_the_default_is_allowed_also_where_no_list_names_it() -> None:
    assert AllowedModels("m1", ()).choose("m1", PLAIN) == ("m1",)
    assert AllowedModels("m1", ()).allowed_for(OWN) == {"m1", "m9"}


def test_a_key_opens_only_its_models() -> None:
    narrow = MODELS.of(replace(LOCAL, models=frozenset({"m2", "m7"})))
    assert MODELS.of(LOCAL) is MODELS
    assert (narrow.listed, MODELS.listed) == (["m2"], ["m1", "m2"])
    assert narrow.choose("m2", PLAIN) == ("m2",)
    with pytest.raises(UnknownModel, match="must be one of: m2"):
        narrow.choose(None, PLAIN)
    with pytest.raises(UnknownModel):
        narrow.choose(None, OWN)
    with pytest.raises(UnknownModel, match="this API key allows none"):
        MODELS.of(replace(LOCAL, models=frozenset({"m7"}))).choose("m1", PLAIN)


def test_a_stand_in_answers_for_every_model_that_may_be_asked_for() -> None:
    echo = replace(MODELS, stand_in="echo")
    assert (echo.choose(None, PLAIN), echo.choose("m2", OWN)) == (("echo",), ("echo",))
    assert (echo.shown_for(PLAIN), MODELS.shown_for(PLAIN), MODELS.shown_for(OWN)) == ("echo", "m1", "m9")
    with pytest.raises(UnknownModel):
        echo.choose("m8", PLAIN)


LISTS = AllowedModels("m1", ("m1>m2>m3", "m4"))


@pytest.mark.parametrize(
    ("asked", "of_template", "chosen"),
    [
        (None, None, ("m1", "m2", "m3")),
        ("m1", None, ("m1", "m2", "m3")),
        ("m4", None, ("m4",)),
        (None, "m1", ("m1", "m2", "m3")),
        (None, "m1>m9", ("m1", "m9")),
        ("m1", "m1 > m9", ("m1", "m9")),
        (None, "m8>m1", ("m8", "m1")),
        ("m8", "m8>m1", ("m8", "m1")),
        ("m1", "m8>m1", ("m1", "m2", "m3")),
        (None, "m4", ("m4",)),
    ],
)
def test_a_list_is_asked_for_as_its_first_model(
    asked: str | None, of_template: str | None, chosen: tuple[str, ...]
) -> None:
    """A template's own list comes first; the fallbacks of other lists follow only where their first model is asked for."""
    assert LISTS.choose(asked, replace(PLAIN, model=of_template)) == chosen


def test_a_fallback_alone_may_not_be_asked_for() -> None:
    assert (LISTS.listed, LISTS.shown_for(replace(PLAIN, model="m8>m9"))) == (["m1", "m4"], "m8")
    assert set(LISTS.listed_with_fallbacks) == {name for entry in LISTS.allowed for name in entry.split(">")}
    assert replace(LISTS, only=frozenset({"m1"})).listed_with_fallbacks == ["m1", "m2", "m3"]
    for asked in ("m2", "m1>m2>m3", "m9"):
        with pytest.raises(UnknownModel, match="must be one of: m1, m4, m8"):
            LISTS.choose(asked, replace(PLAIN, model="m8>m9"))


def test_a_key_that_opens_a_model_opens_its_fallbacks() -> None:
    narrow = LISTS.of(replace(LOCAL, models=frozenset({"m1"})))
    assert (narrow.choose("m1", PLAIN), narrow.listed) == (("m1", "m2", "m3"), ["m1"])
    assert narrow.listed_with_fallbacks == ["m1", "m2", "m3"]


NAMED = AllowedModels("m1", ("m1", "two/m1"), names={"one/m1": "m1", "two/m2": "m2"}, revision=3)


def test_a_model_with_several_names_is_the_same_for_requests_templates_and_keys() -> None:
    assert [NAMED.choose(name, PLAIN) for name in ("m1", "one/m1", "two/m1")] == [("m1",), ("m1",), ("two/m1",)]
    own = replace(PLAIN, model="two/m2")
    assert (NAMED.choose(None, own), NAMED.choose("m2", own), NAMED.shown_for(own)) == (("m2",), ("m2",), "m2")
    assert NAMED.allowed_for(own) == {"m1", "two/m1", "m2"}
    narrow = NAMED.of(replace(LOCAL, models=frozenset({"one/m1"})))
    assert (narrow.choose("one/m1", PLAIN), narrow.listed) == (("m1",), ["m1"])
    with pytest.raises(UnknownModel):
        narrow.choose("two/m1", PLAIN)


def test_a_list_that_never_changes_is_its_own_source() -> None:
    assert NAMED.current is NAMED


def test_the_names_of_a_list_are_those_that_are_used_here() -> None:
    models = replace(NAMED, allowed=("m1>two/m2>m2", "two/m1"))
    assert models.choose("one/m1", PLAIN) == ("m1", "m2")
    own = replace(PLAIN, model="one/m1>two/m1")
    assert (models.choose(None, own), models.shown_for(own)) == (("m1", "two/m1"), "m1")
