"""The form that a template's inputs describe: what was typed, as the core wants it and as the page shows it again."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from llm_service.core.errors import FieldError, InvalidInput, ServiceError
from llm_service.core.generation.model import CacheMode, GenerateRequest
from llm_service.core.templates.model import Template
from llm_service.core.templates.properties import Property, PropertyKind, normalize_number

from ..http.errors import RequestError
from ..http.strict_json import parse_json, reject_unstorable

PREFIX = "p."
# A text that may be longer is written in a field of several lines.
LINE_CHARS = 300
# With more steps a slider's are too small to be hit.
MAX_STEPS = 1000
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

    def value_of(self, one: Property) -> Any:
        """What the field shows: what was typed, else the default."""
        return self.values.get(one.name, as_text(one, normalize_number(one.default)))

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
        return replace(self, errors=_by_field(error))

    def _fields(self) -> dict[str, Any]:
        parameters = {}
        for one in self.template.parameters:
            typed = self.value_of(one)
            if typed != "" or one.kind is PropertyKind.BOOLEAN or _means_empty(one):
                parameters[one.name] = from_text(one, typed)
        return parameters

    def _advanced(self) -> dict[str, Any]:
        if not self.parameters_json.strip():
            return {}
        try:
            parameters = parse_json(self.parameters_json.encode("utf-8", "surrogatepass"))
            reject_unstorable(parameters)
        except RequestError as error:
            raise InvalidInput.of([FieldError("parameters_json", error.detail)]) from error
        if not isinstance(parameters, dict):
            raise InvalidInput.of([FieldError("parameters_json", 'must be an object such as {"tone": "simple"}')])
        return parameters


def read_form(template: Template, typed: MultiDict[str, str]) -> Form:
    """What a browser sent. Its line ends are CR LF, whatever was typed: they become LF."""
    values: dict[str, Any] = {}
    for one in template.parameters:
        name = PREFIX + one.name
        if one.kind is PropertyKind.BOOLEAN:
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


def form_of(template: Template, input: str, parameters: Mapping[str, Any] | None = None) -> Form:
    """The form that would ask this; parameters that the template does not have are left out."""
    inputs = {one.name: one for one in template.parameters}
    values = {name: as_text(inputs[name], value) for name, value in (parameters or {}).items() if name in inputs}
    return Form(template, input=input, values=values)


def widget(one: Property) -> str:
    """How a form asks for it: `checkbox`, `select`, `range`, `number`, `list` (one item per line), `json`, `line` or `text`."""
    if one.kind is PropertyKind.BOOLEAN:
        return "checkbox"
    if one.enum:
        return "select"
    if one.kind in (PropertyKind.INTEGER, PropertyKind.FLOAT):
        # A slider always has a value: where there is none to begin with, it would make one up.
        span = None if one.minimum is None or one.maximum is None else one.maximum - one.minimum
        few = span is not None and (one.kind is PropertyKind.FLOAT or span <= MAX_STEPS)
        return "range" if few and one.default is not None else "number"
    if one.kind is PropertyKind.ARRAY:
        return (
            "list" if one.items is None or one.items.kind not in (PropertyKind.ARRAY, PropertyKind.OBJECT) else "json"
        )
    if one.kind is PropertyKind.OBJECT:
        return "json"
    return "line" if one.max_length is not None and one.max_length <= LINE_CHARS else "text"


def as_text(one: Property, value: Any) -> Any:
    """A value as its field shows it; booleans stay what they are."""
    if one.kind is PropertyKind.BOOLEAN:
        return bool(value)
    if value is None:
        return ""
    if widget(one) == "list" and isinstance(value, list):
        lines = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in value)
        if from_text(one, lines) == value:
            return lines
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def from_text(one: Property, typed: Any) -> Any:
    """The value that was meant; the text itself where it is none, so that the core's check can say so."""
    if one.kind in (PropertyKind.STRING, PropertyKind.BOOLEAN):
        return typed
    if widget(one) == "list" and not isinstance(_value(typed), list):
        lines = [line.strip() for line in typed.split("\n") if line.strip()]
        return [_value(line) for line in lines] if one.items and one.items.kind is not PropertyKind.STRING else lines
    return _value(typed)


def field_id(path: str) -> str:
    """The id of a field's element, from a path: what is inside a list or an object stands at the whole."""
    return "field-" + _FIELD_ID.sub("-", ".".join(path.split(".")[:2]))


def _value(typed: str) -> Any:
    try:
        return parse_json(typed.encode("utf-8", "surrogatepass"))
    except RequestError:
        return typed


def _means_empty(one: Property) -> bool:
    """Whether a field that was emptied says so: of a text or a list, where else the default would stand in."""
    return one.kind in (PropertyKind.STRING, PropertyKind.ARRAY) and not one.enum and bool(one.default)


def _by_field(error: ServiceError) -> dict[str, str]:
    """Messages by the field that shows them: what is wrong inside a list or an object stands at the whole."""
    found: dict[str, list[str]] = {}
    for one in error.fields:
        parts = one.field.split(".")
        inside = parts[2:] if parts[0] == "parameters" else []
        place = " ".join(f"item {int(part) + 1}" if part.isdecimal() else part for part in inside)
        message = f"{place}: {one.message}" if place else one.message
        found.setdefault(".".join(parts[:2]) if inside else one.field, []).append(message)
    return {path: "; ".join(messages) for path, messages in found.items()}


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
