"""The files are files of the open format: its own loader reads them, and renders them to the same messages.

Where ours reads a role line in another way than the format's own parser, it must refuse the file.
"""

from pathlib import Path

import prompty
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompty.parsers.prompty import PromptyChatParser

from llm_service.adapters.prompty.parser import parse_prompty
from llm_service.adapters.strict_yaml import FileFormatError
from llm_service.core.templates.model import Template
from tests.support.constants import ROOT, TEST_PROMPTS
from tests.support.templates import registry_of

TEMPLATES = [
    (folder, template)
    for folder in (ROOT / "prompts", TEST_PROMPTS)
    for template in registry_of(folder).current
    if all(declared.example is not None for declared in template.inputs)
]
HEAD = "---\nname: T\ninputs:\n  - {name: input, kind: string, required: true}\n---\n"
# The format's parser wants one and does not look at it.
AGENT = prompty.load(ROOT / "prompts" / "basic_chat_v1.prompty")
# Lines below `user:`, and what they are to ours: the role system, text as in the format, or a fault of the file.
LINES = {
    "system:": "role",
    "  System\t:  ": "role",
    "#system:": "role",
    "# SYSTEM :": "role",
    "\u00a0system:\u3000": "role",
    "Note:\x0csystem:": "role",
    "Note:\u2028#\u00a0system:": "role",
    'system[name="Ann", temperature=0.5]:': "refused",
    "system[name=Ann] :": "refused",
    '# system[a="]"]:': "refused",
    "system[]:": "refused",
    "system[image=x, ]:": "refused",
    "system [name=Ann]:": "refused",
    "user:": "refused",
    "user[image=x]:": "refused",
    'assistant[name="Ann"]:': "refused",
    "assistant:": "refused",
    "developer:": "refused",
    "tool:": "refused",
    "\u017fystem:": "refused",
    "system: hello": "text",
    "user: hello": "text",
    "## system:": "text",
    "- system:": "text",
    "**system:**": "text",
    "the system:": "text",
    "Sysem:": "text",
    "system": "text",
    "system\uff1a": "text",
    "\u200bsystem:": "text",
    "system[name=Ann]": "text",
    "{system}:": "text",
}
FRAGMENTS = ["system", "user", "tool", "x", "[a=1]", *': : \n\n#[]"=,\t\r\x0b\x0c\x1c\x85\u00a0\u2028']


@pytest.mark.parametrize(("folder", "template"), TEMPLATES, ids=[template.template_id for _, template in TEMPLATES])
def test_both_render_the_example_to_the_same_messages(folder: Path, template: Template) -> None:
    example = template.example()
    ours = template.render(example["input"], example.get("parameters", {}))
    agent = prompty.load(folder / f"{template.template_id}.prompty")
    assert [declared.name for declared in agent.inputs or []] == [declared.name for declared in template.inputs]
    assert [declared.name for declared in agent.outputs or []] == [
        declared.name for declared in (template.outputs.properties if template.outputs else ())
    ]
    messages = prompty.prepare(agent, {"input": example["input"], **example.get("parameters", {})})
    theirs = {message.role: message.text.strip() for message in messages}
    assert theirs == {message.role.value: message.text.strip() for message in ours}


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_a_role_line_is_read_as_the_format_reads_it_or_refused(tmp_path: Path, line: str, expected: str) -> None:
    text = f"{HEAD}user:\nHello\n{line}\nBye\n"
    if expected == "refused":
        with pytest.raises(FileFormatError) as raised:
            parse_prompty("t_v1", text, default_max_chars=5000)
        assert raised.value.line == 8
        return
    ours = split_by_ours(text)
    assert len(ours) == (2 if expected == "role" else 1)
    assert ours == split_by_the_format(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        f"\n{HEAD}user:\nHello",
        f" \n\n\n{HEAD}user:\nHello",
        f"{HEAD}\n\n  user:\n\n\nHello\n\n\n",
        f"{HEAD}user:\n    indented\nHello  \n\nsystem:\n\n  - a list\n    - below it\n\n",
        f"{HEAD}user:\n \nHello\n\t\n",
    ],
)
def test_both_begin_and_end_a_message_at_the_same_place(tmp_path: Path, text: str) -> None:
    assert split_by_ours(text) == split_by_the_format(tmp_path, text)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join))
def test_no_text_makes_the_two_split_differently(rest: str) -> None:
    body = f"user:\nHello\n{rest}"
    try:
        ours = split_by_ours(HEAD + body)
    except FileFormatError:
        return
    assert ours == [(message.role, message.text) for message in PromptyChatParser().parse(AGENT, body) if message.text]


def split_by_ours(text: str) -> list[tuple[str, str]]:
    """The messages in the order of the file, with the line ends of the format's parser, which makes all of them newlines."""
    template = parse_prompty("t_v1", text, default_max_chars=5000)
    sections = (("user", template.user.text), ("system", template.system.text))
    lines = ((role, "\n".join(section.splitlines()).strip("\n")) for role, section in sections)
    return [(role, section) for role, section in lines if section]


def split_by_the_format(folder: Path, text: str) -> list[tuple[str, str]]:
    file = folder / "t_v1.prompty"
    file.write_text(text)
    return [(message.role, message.text) for message in prompty.prepare(prompty.load(file), {"input": "x"})]


def test_every_shipped_template_is_complete() -> None:
    shipped = list(registry_of().current)
    assert len(shipped) >= 10
    for template in shipped:
        assert template.description, template.template_id
        assert all(declared.description and declared.example is not None for declared in template.inputs), (
            template.template_id
        )
        assert len(template.tests) >= 3, template.template_id
        assert any(test.refused for test in template.tests), template.template_id
        if template.outputs:
            assert any(test.output for test in template.tests), template.template_id
            assert any(test.bad_output for test in template.tests), template.template_id
