import json
import os

import pytest

from llm_service.core.errors import UnknownTemplate
from llm_service.core.messages import Role, text_of
from llm_service.core.templates.model import TemplateSet
from tests.support.constants import ROOT
from tests.support.templates import registry_of

SHIPPED = registry_of().current
GOLDEN = ROOT / "tests" / "golden" / "prompts"


def test_a_bare_name_means_the_highest_version() -> None:
    summarize = SHIPPED.get("summarize_v1")
    templates = TemplateSet({"a_v2": summarize, "a_v10": SHIPPED.get("basic_chat_v1"), "a_b": summarize})
    assert templates.get("a") is templates.get("a_v10")
    assert templates.get("a_b") is summarize


@pytest.mark.parametrize(
    "name", ["", "nope", "basic_chat_v2", "BASIC_CHAT_V1", "../prompts/basic_chat_v1", "__class__", "a" * 9999]
)
def test_anything_else_is_unknown(name: str) -> None:
    with pytest.raises(UnknownTemplate):
        SHIPPED.get(name)


def test_the_contract_of_the_shipped_files() -> None:
    chat = SHIPPED.get("basic_chat_v1")
    (tone,) = chat.parameters
    assert (tone.enum, tone.default) == (("neutral", "simple", "professional"), "neutral")
    messages = chat.render("What?", {"tone": "professional"})
    assert "professional" in text_of(messages, Role.SYSTEM)
    assert text_of(messages, Role.USER) == "What?"
    assert {template.model for template in SHIPPED} == {None}, "the shipped files set no model"
    assert SHIPPED.get("summarize").parameters == ()


@pytest.mark.parametrize("template_id", SHIPPED.ids)
def test_golden_rendering(template_id: str) -> None:
    """`UPDATE_GOLDEN=1` writes the files anew; read the difference."""
    template = SHIPPED.get(template_id)
    example = template.example()
    messages = template.render(example["input"], example.get("parameters", {}))
    rendered = {"example": example, "system": text_of(messages, Role.SYSTEM), "user": text_of(messages, Role.USER)}
    path = GOLDEN / f"{template_id}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(rendered, ensure_ascii=False, indent=2) + "\n")
    assert json.loads(path.read_text()) == rendered
