"""The form that a template's inputs describe: what was typed, as the core wants it and as the page shows it again."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from llm_service.core.errors import FieldError, InvalidInput, ServiceError
from llm_service.core.model import CacheMode, GenerateRequest, Generation
from llm_service.core.parameters import Input, Kind
from llm_service.core.templates import Template

from ..errors import EdgeError
from ..strict_json import parse_json, refuse_surrogates

PREFIX = "p."
_FIELD_ID = re.compile(r"[^a-z0-9_]")


@dataclass(frozen=True)
class Form:
    """`values` are texts as typed, by input name (booleans for checkboxes); `errors` messages by field path."""

    template: Template
    input: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    parameters_json: str = ""
    model: str = ""
    fresh: bool = False
    errors: Mapping[str, str] = field(default_factory=dict)

    def value_of(self, one: Input) -> Any:
        """What the field shows: what was typed, else the default."""
        return self.values.get(one.name, as_text(one, one.default))

    def request(self) -> GenerateRequest:
        """Raises `InvalidInput` where the typed text is no value of its type at all."""
        return GenerateRequest(
            template_id=self.template.template_id,
            input=self.input,
            parameters={**self._fields(), **self._advanced()},
            model=self.model or None,
            cache_mode=CacheMode.NO_CACHE if self.fresh else CacheMode.DEFAULT,
        )

    def payload(self) -> str:
        """The body of the same request at the API, as JSON text; the fields alone while the JSON is not valid."""
        try:
            parameters = {**self._fields(), **self._advanced()}
        except InvalidInput:
            parameters = self._fields()
        body = {"template_id": self.template.template_id, "input": self.input, "parameters": parameters}
        return json.dumps({**body, **({"model": self.model} if self.model else {})}, ensure_ascii=False, indent=2)

    def with_error(self, error: ServiceError) -> "Form":
        """The same form with the error's fields marked."""
        return Form(
            self.template, self.input, self.values, self.parameters_json, self.model, self.fresh,
            {one.field: one.message for one in error.fields},
        )  # fmt: skip

    def _fields(self) -> dict[str, Any]:
        parameters = {}
        for one in self.template.parameters:
            typed = self.value_of(one)
            if typed != "" or one.kind is Kind.BOOLEAN:
                parameters[one.name] = from_text(one, typed)
        return parameters

    def _advanced(self) -> dict[str, Any]:
        if not self.parameters_json.strip():
            return {}
        try:
            parameters = parse_json(self.parameters_json.encode("utf-8", "surrogatepass"))
            refuse_surrogates(parameters)
        except EdgeError as error:
            raise InvalidInput.of([FieldError("parameters_json", error.detail)]) from error
        if not isinstance(parameters, dict):
            raise InvalidInput.of([FieldError("parameters_json", 'must be an object such as {"tone": "simple"}')])
        return parameters


def read_form(template: Template, typed: MultiDict[str, str]) -> Form:
    """What a browser sent. Its line ends are CR LF, whatever was typed: they become LF."""
    values: dict[str, Any] = {}
    for one in template.parameters:
        name = PREFIX + one.name
        if one.kind is Kind.BOOLEAN:
            # A box that is not ticked is not sent at all.
            values[one.name] = name in typed or (typed.get("template_shown") != template.template_id and one.default)
        elif name in typed:
            values[one.name] = _lines(typed[name])
    return Form(
        template,
        input=_lines(typed.get("input", "")),
        values=values,
        parameters_json=_lines(typed.get("parameters_json", "")),
        model=typed.get("model", ""),
        fresh="fresh" in typed,
    )


def form_of(template: Template, generation: Generation) -> Form:
    """The form that would ask the same again."""
    inputs = {one.name: one for one in template.parameters}
    values = {name: as_text(inputs[name], value) for name, value in generation.parameters.items() if name in inputs}
    return Form(template, input=generation.input, values=values)


def as_text(one: Input, value: Any) -> Any:
    """A value as its field shows it; booleans stay what they are."""
    if one.kind is Kind.BOOLEAN:
        return bool(value)
    if value is None:
        return ""
    if one.kind is Kind.ARRAY and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def from_text(one: Input, typed: Any) -> Any:
    """The value that was meant; the text itself where it is none, so that the core's check can say so."""
    if one.kind in (Kind.STRING, Kind.BOOLEAN):
        return typed
    if one.kind is Kind.ARRAY and not typed.lstrip().startswith("["):
        return [line for line in typed.split("\n") if line.strip()]
    try:
        return json.loads(typed)
    except ValueError:
        return typed


def field_id(path: str) -> str:
    """The id of a field's element, from its path."""
    return "field-" + _FIELD_ID.sub("-", path)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
