"""The parser of `.prompty` files: YAML front matter, then `system:` and `user:` sections in Jinja2.

Stricter than the format's own loader: every key, type and value must be one that the service uses, and each error names
its line. Roles are split before anything is rendered.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from llm_service.core.model_chain import fault_in
from llm_service.core.templates.inputs import MAIN_INPUT
from llm_service.core.templates.model import Template, TemplateTest
from llm_service.core.templates.options import MAX_OUTPUT_TOKENS, OVERRIDABLE_OPTIONS
from llm_service.core.templates.outputs import Outputs
from llm_service.core.templates.properties import Property, PropertyKind
from llm_service.core.templates.rendering import Section, SectionError

from ..strict_yaml import FileFormatError, Node, read_yaml, refuse_unknown_keys, text_value
from .properties import read_inputs, read_outputs
from .self_tests import read_tests

_FRONT_MATTER = re.compile(r"(?:[ \t]*+\n)*+---[ \t]*+\n(.*?)^---[ \t]*+(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# A stripped line that the format's own parser takes as a role, and more: anything in brackets, which it takes as
# attributes or as text, and two old roles. None of these may silently become prompt text.
_ROLE_LINE = re.compile(r"#?\s*+(system|user|assistant|developer|tool|function)\s*+(\[.*\]\s*+)?:", re.IGNORECASE)
_ROLES = ("system", "user")


def parse_prompty(template_id: str, text: str, *, default_max_chars: int) -> Template:
    """Raises `FileFormatError`. `default_max_chars` is the limit of inputs without `maxLength`."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise FileFormatError("must begin with front matter between two lines of ---", 1)
    front = read_yaml(match[1], first_line=_line_at(text, match.start(1)))
    reader = _FrontMatter(front)
    texts = _split_roles(text[match.end() :], _line_at(text, match.end()))
    inputs, outputs = reader.inputs(default_max_chars), reader.outputs()
    sections = {role: _compile(*texts[role], inputs) for role in _ROLES}
    model, options = reader.model()
    name, description = reader.text("name", required=True), reader.text("description")
    tests, overridable = reader.metadata(has_outputs=outputs is not None)
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
        overridable=overridable,
    )


def _number_between(low: float, high: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and low <= value <= high else f"must be a number between {low:g} and {high:g}"

    return check


def _positive_integer(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_OUTPUT_TOKENS
    return None if good else f"must be an integer between 1 and {MAX_OUTPUT_TOKENS:,}"


# The options by their names in the file: the core's name and the check of the value.
_OPTIONS: Mapping[str, tuple[str, Callable[[Any], str | None]]] = {
    "temperature": ("temperature", _number_between(0, 2)),
    "topP": ("top_p", _number_between(0, 1)),
    "maxOutputTokens": ("max_output_tokens", _positive_integer),
}


class _FrontMatter:
    """Reads the front matter key by key. Keys that were not read are errors."""

    def __init__(self, node: Node) -> None:
        self._line = node.line
        self._unread = dict(node.mapping("the front matter"))

    def text(self, key: str, *, required: bool = False) -> str:
        node = self._unread.pop(key, None)
        if node is None:
            if required:
                raise FileFormatError(f"{key} is missing", self._line)
            return ""
        return text_value(key, node)

    def model(self) -> tuple[str | None, dict[str, Any]]:
        node = self._unread.pop("model", None)
        if node is None:
            return None, {}
        if isinstance(node.content, str):
            return _model_id(node), {}
        keys = dict(node.mapping("model"))
        model_id = _model_id(keys.pop("id")) if "id" in keys else None
        options = dict(keys.pop("options").mapping("model.options")) if "options" in keys else {}
        refuse_unknown_keys("model", keys)
        known = {name: options.pop(name) for name in list(options) if name in _OPTIONS}
        refuse_unknown_keys("model.options", options)
        return model_id, {_OPTIONS[name][0]: read_option(name, node) for name, node in known.items()}

    def inputs(self, default_max_chars: int) -> tuple[Property, ...]:
        node = self._unread.pop("inputs", None)
        if node is None or not isinstance(node.content, list):
            line = node.line if node else self._line
            raise FileFormatError("inputs must be a list that contains the input named input", line)
        inputs = read_inputs(node, default_max_chars) if node.content else ()
        main = next((declared for declared in inputs if declared.name == MAIN_INPUT), None)
        if main is None or main.kind is not PropertyKind.STRING or not main.required:
            raise FileFormatError("inputs must declare the main text: name: input, kind: string, required", node.line)
        return inputs

    def outputs(self) -> Outputs | None:
        node = self._unread.pop("outputs", None)
        return None if node is None else Outputs(read_outputs(node))

    def metadata(self, *, has_outputs: bool) -> tuple[tuple[TemplateTest, ...], tuple[str, ...]]:
        """The tests, and the options that callers may set."""
        if "metadata" not in self._unread:
            return (), ()
        keys = dict(self._unread.pop("metadata").mapping("metadata"))
        tests = read_tests(keys.pop("tests"), has_outputs=has_outputs) if "tests" in keys else ()
        overridable = _read_overridable(keys.pop("overridable")) if "overridable" in keys else ()
        refuse_unknown_keys("metadata", keys)
        return tests, overridable

    def refuse_unknown(self) -> None:
        refuse_unknown_keys("", self._unread)


def _model_id(node: Node) -> str:
    name = text_value("model.id", node)
    if not name:
        raise FileFormatError("model.id is empty: omit it to use the service's default", node.line)
    if (fault := fault_in(name)) is not None:
        raise FileFormatError(f"model.id {fault}", node.line)
    return name


def read_option(name: str, node: Node) -> Any:
    """The value of an option. Raises `FileFormatError` if it cannot have that."""
    message = _OPTIONS[name][1](node.content)
    if message:
        raise FileFormatError(f"model.options.{name} {message}", node.line)
    return node.content


def _read_overridable(node: Node) -> tuple[str, ...]:
    names = ", ".join(OVERRIDABLE_OPTIONS)
    if not isinstance(node.content, list):
        raise FileFormatError(f"metadata.overridable must be a list of {names}", node.line)
    found: list[str] = []
    for item in node.content:
        name = item.content
        if not isinstance(name, str) or name not in OVERRIDABLE_OPTIONS:
            raise FileFormatError(f"metadata.overridable can only contain {names}", item.line)
        if name in found:
            raise FileFormatError(f"metadata.overridable contains {name} twice", item.line)
        found.append(name)
    return tuple(found)


def _line_at(text: str, position: int) -> int:
    return text[:position].count("\n") + 1


def _split_roles(body: str, first_line: int) -> Mapping[str, tuple[str, int]]:
    """The text of each section, with the line of the file that it begins on. A missing system section is empty."""
    parts: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    role, line = "", first_line
    # The format also ends lines at form feeds, U+2028 and the like: a role line may follow one.
    for part in body.splitlines(keepends=True):
        next_line = line + part.count("\n")
        if match := _ROLE_LINE.fullmatch(part.strip()):
            role = _checked_role(match, parts, line)
            parts[role], lines[role] = [], next_line
        elif role:
            parts[role].append(part)
        elif part.strip():
            raise FileFormatError("text before the first section: start with a line system: or user:", line)
        line = next_line
    texts = {role: _without_outer_newlines("".join(parts[role]), lines[role]) for role in parts}
    if "user" not in texts or not texts["user"][0].strip():
        raise FileFormatError("the user: section is missing or empty", first_line)
    return {"system": ("", first_line), **texts}


def _checked_role(match: re.Match[str], found: Collection[str], line: int) -> str:
    role = match[1].lower()
    if role not in _ROLES:
        raise FileFormatError(f"{role}: is not a supported section, only system: and user: are", line)
    if match[2]:
        raise FileFormatError(f"{role}[...]: attributes are not supported: write {role}: alone on the line", line)
    if role in found:
        raise FileFormatError(f"{role}: appears twice", line)
    return role


def _without_outer_newlines(text: str, line: int) -> tuple[str, int]:
    """As the format's own parser does: the first line keeps its indentation."""
    return text.strip("\n"), line + len(text) - len(text.lstrip("\n"))


def _compile(text: str, line: int, inputs: tuple[Property, ...]) -> Section:
    try:
        section = Section(text)
    except SectionError as error:
        raise FileFormatError(error.message, line + error.line - 1) from error
    for name in sorted(section.variables - {declared.name for declared in inputs}):
        raise FileFormatError(f"{name} is used here but not declared in inputs", line + section.line_of(name) - 1)
    return section


def _revision(front: Any, sections: Mapping[str, Section]) -> str:
    content = {"front": front, "sections": {role: section.text for role, section in sections.items()}}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
