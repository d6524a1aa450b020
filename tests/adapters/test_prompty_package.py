"""The shipped files are files of the open format: its own loader reads them, and renders them to the same messages."""

from pathlib import Path

import prompty
import pytest

from llm_service.core.templates.model import Template
from tests.support.constants import ROOT, TEST_PROMPTS
from tests.support.templates import library_of

TEMPLATES = [
    (folder, one)
    for folder in (ROOT / "prompts", TEST_PROMPTS)
    for one in library_of(folder).current
    if all(declared.example is not None for declared in one.inputs)
]


@pytest.mark.parametrize(("folder", "template"), TEMPLATES, ids=[one.template_id for _, one in TEMPLATES])
def test_both_render_the_example_to_the_same_messages(folder: Path, template: Template) -> None:
    example = template.example()
    ours = template.render(example["input"], example.get("parameters", {}))
    agent = prompty.load(folder / f"{template.template_id}.prompty")
    assert [one.name for one in agent.inputs or []] == [one.name for one in template.inputs]
    assert [one.name for one in agent.outputs or []] == [
        one.name for one in (template.outputs.properties if template.outputs else ())
    ]
    messages = prompty.prepare(agent, {"input": example["input"], **example.get("parameters", {})})
    theirs = {message.role: message.text.strip() for message in messages}
    assert theirs == {"user": ours.user.strip(), **({"system": ours.system.strip()} if ours.system else {})}


def test_every_shipped_template_is_complete() -> None:
    shipped = list(library_of().current)
    assert len(shipped) >= 10
    for template in shipped:
        assert template.description, template.template_id
        assert all(one.description and one.example is not None for one in template.inputs), template.template_id
        assert len(template.tests) >= 3, template.template_id
        assert any(test.refused for test in template.tests), template.template_id
        if template.outputs:
            assert any(test.output for test in template.tests), template.template_id
            assert any(test.bad_output for test in template.tests), template.template_id
