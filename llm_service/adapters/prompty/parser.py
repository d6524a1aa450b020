"""The reader of `.prompty` files: YAML front matter, then `system:` and `user:` sections in Jinja2.

Stricter than the format's own loader: every key, type and value must be one that the service uses, and each fault
names its line. Roles are split before anything is rendered.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from llm_service.core.templates.inputs import MAIN_INPUT
from llm_service.core.templates.model import Template, TemplateTest
from llm_service.core.templates.outputs import Outputs
from llm_service.core.templates.properties import Property, PropertyKind
from llm_service.core.templates.rendering import Section, SectionError

from ..strict_yaml import Node, PromptyError, read_yaml, refuse_keys, text_of
from .properties import read_inputs, read_outputs
from .self_tests import read_tests

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# As the format's own parser finds them, so that both agree on where a message begins.
_ROLE = re.compile(r"^[ \t]*#?[ \t]*(system|user|assistant|developer|tool|function)[ \t]*:[ \t]*$", re.I | re.M)
# What the Responses API takes, by its name in the file: its name there, and the check of its value.
_OPTIONS: Mapping[str, tuple[str, Callable[[Any], str | None]]]


def parse_prompty(template_id: str, text: str, *, default_max_chars: int) -> Template:
    """Raises `PromptyError`. `default_max_chars` bounds the strings that declare no `maxLength`."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise PromptyError("must begin with front matter between two lines of ---", 1)
    front = read_yaml(match[1], first_line=2)
    reader = _Front(front)
    body_line = text[: match.end()].count("\n") + 1
    system, user = _split_roles(text[match.end() :], body_line)
    inputs, outputs = reader.inputs(default_max_chars), reader.outputs()
    sections = {"system": _compile(*system, inputs), "user": _compile(*user, inputs)}
    model, options = reader.model()
    name, description = reader.text("name", required=True), reader.text("description")
    tests = reader.tests(has_outputs=outputs is not None)
    reader.refuse_unknown()
    return Template(
        template_id=template_id,
        name=name,
        description=description,
        revision=_revision(front.value, sections),
        model=model,
        options=options,
        inputs=inputs,
        outputs=outputs,
        system=sections["system"],
        user=sections["user"],
        tests=tests,
        source=text,
    )


class _Front:
    """Takes the front matter's keys one by one; what nobody took is an error."""

    def __init__(self, node: Node) -> None:
        self._line = node.line
        self._left = dict(node.mapping("the front matter"))

    def text(self, key: str, *, required: bool = False) -> str:
        node = self._left.pop(key, None)
        if node is None:
            if required:
                raise PromptyError(f"{key} is missing", self._line)
            return ""
        return text_of(key, node)

    def model(self) -> tuple[str | None, dict[str, Any]]:
        node = self._left.pop("model", None)
        if node is None:
            return None, {}
        if isinstance(node.content, str):
            return _model_id(node), {}
        keys = dict(node.mapping("model"))
        model_id = _model_id(keys.pop("id")) if "id" in keys else None
        options = dict(keys.pop("options").mapping("model.options")) if "options" in keys else {}
        refuse_keys("model", keys)
        known = {name: options.pop(name) for name in list(options) if name in _OPTIONS}
        refuse_keys("model.options", options)
        return model_id, {_OPTIONS[name][0]: _option(name, node) for name, node in known.items()}

    def inputs(self, default_max_chars: int) -> tuple[Property, ...]:
        node = self._left.pop("inputs", None)
        if node is None or not isinstance(node.content, list):
            line = node.line if node else self._line
            raise PromptyError("inputs must be a list with at least the input named input", line)
        inputs = read_inputs(node, default_max_chars) if node.content else ()
        main = next((one for one in inputs if one.name == MAIN_INPUT), None)
        if main is None or main.kind is not PropertyKind.STRING or not main.required:
            raise PromptyError("inputs must declare the main text: name: input, kind: string, required", node.line)
        return inputs

    def outputs(self) -> Outputs | None:
        node = self._left.pop("outputs", None)
        return None if node is None else Outputs(read_outputs(node))

    def tests(self, *, has_outputs: bool) -> tuple[TemplateTest, ...]:
        if "metadata" not in self._left:
            return ()
        keys = dict(self._left.pop("metadata").mapping("metadata"))
        tests = read_tests(keys.pop("tests"), has_outputs=has_outputs) if "tests" in keys else ()
        refuse_keys("metadata", keys)
        return tests

    def refuse_unknown(self) -> None:
        refuse_keys("", self._left)


def _model_id(node: Node) -> str:
    name = text_of("model.id", node)
    if not name:
        raise PromptyError("model.id is empty: leave it out for the service's default", node.line)
    return name


def _option(name: str, node: Node) -> Any:
    message = _OPTIONS[name][1](node.content)
    if message:
        raise PromptyError(f"model.options.{name} {message}", node.line)
    return node.content


def _number_between(low: float, high: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and low <= value <= high else f"must be a number between {low:g} and {high:g}"

    return check


def _positive_integer(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000
    return None if good else "must be an integer between 1 and 1,000,000"


_OPTIONS = {
    "temperature": ("temperature", _number_between(0, 2)),
    "topP": ("top_p", _number_between(0, 1)),
    "maxOutputTokens": ("max_output_tokens", _positive_integer),
}


def _split_roles(body: str, first_line: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """The text of the system and of the user section, each with the line of the file that it begins on."""
    marks = list(_ROLE.finditer(body))
    before = body[: marks[0].start()] if marks else body
    if before.strip():
        raise PromptyError("text stands before the first section: begin with a line system: or user:", first_line)
    found: dict[str, tuple[str, int]] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        role, line = mark[1].lower(), first_line + body[: mark.start(1)].count("\n")
        if role not in ("system", "user"):
            raise PromptyError(f"{role}: is not a section that the service knows (system: and user: are)", line)
        if role in found:
            raise PromptyError(f"{role}: stands here twice", line)
        text = body[mark.end() : following.start() if following else None]
        blank = len(text) - len(text.lstrip())
        found[role] = (text.strip(), line + text[:blank].count("\n"))
    if "user" not in found or not found["user"][0]:
        raise PromptyError("the user: section is missing or empty", first_line)
    return found.get("system", ("", first_line)), found["user"]


def _compile(text: str, line: int, inputs: tuple[Property, ...]) -> Section:
    try:
        section = Section(text)
    except SectionError as error:
        raise PromptyError(error.message, line + error.line - 1) from error
    for name in sorted(section.variables - {one.name for one in inputs}):
        raise PromptyError(f"{name} is used here but not declared in inputs", line + section.line_of(name) - 1)
    return section


def _revision(front: Any, sections: Mapping[str, Section]) -> str:
    content = {"front": front, "sections": {role: section.text for role, section in sections.items()}}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
