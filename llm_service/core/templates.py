"""Prompt templates as the service uses them: parsed, checked and compiled."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UnknownTemplate
from .model import Prompts
from .parameters import MAIN_INPUT, Input, check_values, object_schema
from .rendering import Section

TEMPLATE_ID = re.compile(r"[a-z][a-z0-9_]{2,63}")
_VERSION = re.compile(r"(.+)_v([0-9]{1,9})")


@dataclass(frozen=True)
class Template:
    """One prompt file. `revision` is the first 12 hex digits of the SHA-256 of its canonical content.

    `model` None = the service's default; `options` are Responses API names; `source` is the file's text.
    """

    template_id: str
    name: str
    description: str
    revision: str
    model: str | None
    options: Mapping[str, Any]
    inputs: tuple[Input, ...]
    system: Section
    user: Section
    source: str

    def render(self, text: str, parameters: Mapping[str, Any]) -> Prompts:
        """Check the values and render both messages.

        Raises `InvalidInput` or `InvalidCharacter`, naming each value at fault.
        """
        values = check_values(self.inputs, text, parameters)
        return Prompts(system=self.system.render(values), user=self.user.render(values))

    @property
    def main_input(self) -> Input:
        return next(one for one in self.inputs if one.name == MAIN_INPUT)

    @property
    def parameters(self) -> tuple[Input, ...]:
        """All inputs but the main one."""
        return tuple(one for one in self.inputs if one.name != MAIN_INPUT)

    def input_schema(self) -> dict[str, Any]:
        return object_schema(self.inputs)

    def example(self) -> dict[str, Any]:
        """A request body that works, made of the inputs' examples."""
        parameters = {
            one.name: one.default if one.example is None else one.example
            for one in self.parameters
            if one.example is not None or one.default is not None
        }
        body = {"template_id": self.template_id, "input": self.main_input.example or "Hello"}
        return {**body, "parameters": parameters} if parameters else body


class TemplateSet:
    """The templates of one folder, checked as a whole and never changed."""

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

    def get(self, template_id: str) -> Template:
        """By id, or by a bare name without `_v<number>`, which means its highest version.

        Raises `UnknownTemplate`.
        """
        found = self._templates.get(template_id) or self._latest.get(template_id)
        if found is None:
            raise UnknownTemplate(template_id)
        return found


def _latest_versions(templates: Mapping[str, Template]) -> dict[str, Template]:
    latest: dict[str, tuple[int, Template]] = {}
    for template_id, template in templates.items():
        match = _VERSION.fullmatch(template_id)
        if match and int(match[2]) >= latest.get(match[1], (-1, template))[0]:
            latest[match[1]] = (int(match[2]), template)
    return {name: template for name, (_, template) in latest.items()}
