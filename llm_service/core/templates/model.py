"""Prompt templates as the service uses them: parsed, checked and compiled."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import UnknownTemplate
from ..messages import Message, Messages, Role
from .inputs import MAIN_INPUT, check_values
from .outputs import OutputFormat, Outputs
from .properties import Property, object_schema, sample_value
from .rendering import Section

# Preselected in the page, if it exists.
DEFAULT_TEMPLATE = "basic_chat"
TEMPLATE_ID = re.compile(r"[a-z][a-z0-9_]{2,63}")
_VERSION = re.compile(r"(.+)_v([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a rendered message must be: exactly `text`, or a text that contains all of `contains`."""

    text: str | None = None
    contains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateTest:
    """A test in a prompt file. `inputs` are flat and include the main text; `line` is its line in the file.

    `refused` are the paths of values that must be refused; `output` and `bad_output` are recorded answers.
    """

    name: str
    line: int
    inputs: Mapping[str, Any]
    system: Expected | None = None
    user: Expected | None = None
    refused: tuple[str, ...] = ()
    output: str | None = None
    bad_output: str | None = None


@dataclass(frozen=True)
class Template:
    """One prompt file. `revision` is the first 12 hex digits of the SHA-256 of its canonical content.

    `model` None = the service's default; `options` have neutral names, as in `ProviderCall`; `outputs` None = the answer is
    plain text; `source` is the text of the file. `overridable`: the options that callers may set for one request.
    """

    template_id: str
    name: str
    description: str
    revision: str
    model: str | None
    options: Mapping[str, Any]
    inputs: tuple[Property, ...]
    outputs: Outputs | None
    system: Section
    user: Section
    tests: tuple[TemplateTest, ...]
    source: str
    overridable: tuple[str, ...] = ()

    def render(self, text: str, parameters: Mapping[str, Any]) -> Messages:
        """Check the values and render both messages.

        Raises `InvalidInput` or `InvalidCharacter` that names each invalid value.
        """
        values = check_values(self.inputs, text, parameters)
        texts = ((Role.SYSTEM, self.system.render(values)), (Role.USER, self.user.render(values)))
        return tuple(Message.of(role, text) for role, text in texts if text or role is Role.USER)

    @cached_property
    def main_input(self) -> Property:
        return next(declared for declared in self.inputs if declared.name == MAIN_INPUT)

    @cached_property
    def parameters(self) -> tuple[Property, ...]:
        """All inputs except the main one."""
        return tuple(declared for declared in self.inputs if declared.name != MAIN_INPUT)

    def input_schema(self) -> dict[str, Any]:
        return object_schema(self.inputs)

    @cached_property
    def output_format(self) -> OutputFormat | None:
        if self.outputs is None:
            return None
        return OutputFormat(self.template_id, self.outputs.schema, self.outputs.sample())

    def example(self) -> dict[str, Any]:
        """The `input` and `parameters` of a valid request, made of the inputs' examples."""
        examples = {declared.name: _example(declared) for declared in self.parameters}
        parameters = {name: value for name, value in examples.items() if value is not None}
        body = {MAIN_INPUT: sample_value(self.main_input)}
        return {**body, "parameters": parameters} if parameters else body


@dataclass(frozen=True, slots=True)
class UsedRevision:
    """A revision that generations were made with. `first_used_ms` is Unix time."""

    template_id: str
    revision: str
    first_used_ms: int


@dataclass(frozen=True, slots=True)
class StoredRevision(UsedRevision):
    """With `source`, the text of the file."""

    source: str


class TemplateSet:
    """The templates of one folder, checked together. Immutable."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._templates = dict(sorted(templates.items()))
        self._latest = _latest_versions(self._templates)

    def __iter__(self) -> Iterator[Template]:
        return iter(self._templates.values())

    def __len__(self) -> int:
        return len(self._templates)

    @property
    def ids(self) -> list[str]:
        return list(self._templates)

    @property
    def default_template(self) -> Template:
        return self._latest.get(DEFAULT_TEMPLATE) or next(iter(self))

    def get(self, template_id: str) -> Template:
        """By id, or by the bare name without `_v<number>`, which means the highest version.

        Raises `UnknownTemplate`.
        """
        found = self._templates.get(template_id) or self._latest.get(template_id)
        if found is None:
            raise UnknownTemplate(template_id)
        return found

    def bare_name(self, template: Template) -> str | None:
        """The name without its version, if that name means this template."""
        version = version_of(template.template_id)
        if version is None or version[0] in self._templates or self._latest[version[0]] is not template:
            return None
        return version[0]


def _example(declared: Property) -> Any:
    """None = the parameter can be omitted from an example."""
    return sample_value(declared) if declared.required or declared.example is not None else declared.default


def version_of(template_id: str) -> tuple[str, int] | None:
    """The bare name and the number; None = the id has no version."""
    match = _VERSION.fullmatch(template_id)
    return (match[1], int(match[2])) if match else None


def _latest_versions(templates: Mapping[str, Template]) -> dict[str, Template]:
    latest: dict[str, tuple[int, Template]] = {}
    for template_id, template in templates.items():
        if version := version_of(template_id):
            name, number = version
            if number > latest.get(name, (-1, template))[0]:
                latest[name] = (number, template)
    return {name: template for name, (_, template) in latest.items()}
