"""The form of a template: reads what people typed as a typed request, and shows it again with its errors."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from llm_service.core.errors import FieldError, InvalidInput, ServiceError
from llm_service.core.generation.model import CacheMode, GenerateRequest, Generation
from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.inputs import MAIN_INPUT, path_of
from llm_service.core.templates.model import Template
from llm_service.core.templates.options import OVERRIDABLE_OPTIONS
from llm_service.core.templates.properties import Property, PropertyKind, normalize_number

from ..http.errors import RequestError
from ..http.strict_json import MAX_VALUES, parse_json, reject_unstorable
from .field_messages import JSON_FIELD, field_messages, json_fault

PREFIX = "p."
OPTION_PREFIX = "o."
# Longer texts get a field with several lines.
LINE_CHARS = 300
# A slider with more steps is too hard to set.
MAX_STEPS = 1000
_FIELD_ID = re.compile(r"[^a-z0-9_]")
# How to ask for a missing value, by `widget`; all others are texts.
_ASK_FOR = {
    "select": "Choose a value for",
    "number": "Enter a number in",
    "list": "Enter at least one line in",
    "json": "Enter JSON in",
}


@dataclass(frozen=True)
class Form:
    """`values` are the typed texts by input name (booleans for checkboxes); `errors` are messages by field path.

    `options` are the typed texts by option name.
    """

    template: Template
    input: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    parameters_json: str = ""
    model: str = ""
    fresh: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    def value_of(self, prop: Property) -> Any:
        """What the field shows: the typed text, else the default."""
        return self.values.get(prop.name, as_text(prop, normalize_number(prop.default)))

    def request(self) -> GenerateRequest:
        """Raises `InvalidInput` if the advanced JSON is not an object, or a list has too many lines."""
        return GenerateRequest(
            template_id=self.template.template_id,
            input=self.input,
            parameters={**self._fields(), **self._advanced()},
            model=self.model or None,
            cache_mode=CacheMode.NO_CACHE if self.fresh else CacheMode.DEFAULT,
            options=self._options(),
        )

    def body(self) -> dict[str, Any]:
        """The body of the same API request; without the advanced JSON while that is not valid."""
        parameters = self._fields()
        with suppress(InvalidInput):
            parameters |= self._advanced()
        options = self._options()
        return {
            "template_id": self.template.template_id,
            "input": self.input,
            **({"parameters": parameters} if parameters else {}),
            **({"model": self.model} if self.model else {}),
            **({"options": options} if options else {}),
        }

    def with_error(self, error: ServiceError) -> "Form":
        """The same form with a message at each wrong field."""
        return replace(self, errors={path: self._missing(path) or text for path, text in self._messages(error).items()})

    def faults(self, error: ServiceError) -> list[tuple[str, str]]:
        """The wrong fields as (path, sentence), for a list of links to them."""
        return [
            (path, self._missing(path) or f"{field_label(path)}: {text[0].lower()}{text[1:]}")
            for path, text in self._messages(error).items()
        ]

    def _messages(self, error: ServiceError) -> dict[str, str]:
        return field_messages(error.fields, self.template.inputs, self.values)

    def options_allowed(self) -> list[Property]:
        return [OVERRIDABLE_OPTIONS[name] for name in self.template.overridable]

    def options_set(self) -> int:
        """How many have a value."""
        return sum(map(bool, self.options.values()))

    def _missing(self, path: str) -> str | None:
        """What to do about a required field that was left empty."""
        if path == MAIN_INPUT:
            return None if self.input.strip() else 'Enter some text in "Input".'
        prop = next((prop for prop in self.template.parameters if path_of(prop) == path and prop.required), None)
        if prop is None or self.value_of(prop) != "" or self.parameters_json.strip():
            return None
        return f'{_ASK_FOR.get(widget(prop), "Enter some text in")} "{field_label(path)}".'

    def _options(self) -> dict[str, Any]:
        # Browsers also send `.5`, which is no number in JSON.
        typed = {name: f"0{text}" if text.startswith(".") else text for name, text in self.options.items()}
        return {name: _value(text) for name, text in typed.items() if text}

    def _fields(self) -> dict[str, Any]:
        parameters = {}
        for prop in self.template.parameters:
            typed = self.value_of(prop)
            if typed != "" or prop.kind is PropertyKind.BOOLEAN or _means_empty(prop):
                parameters[prop.name] = from_text(prop, typed)
        return parameters

    def _advanced(self) -> dict[str, Any]:
        if not self.parameters_json.strip():
            return {}
        try:
            parameters = parse_json(self.parameters_json.encode("utf-8", "surrogatepass"))
            reject_unstorable(parameters)
        except RequestError as error:
            raise InvalidInput.of([FieldError(JSON_FIELD, json_fault(self.parameters_json) or error.detail)]) from error
        if not isinstance(parameters, dict):
            raise InvalidInput.of([FieldError(JSON_FIELD, 'must be an object such as {"tone": "simple"}')])
        return parameters


def read_form(template: Template, typed: MultiDict[str, str]) -> Form:
    """The form that a browser sent. Browsers send line ends as CR LF; they become LF."""
    values: dict[str, Any] = {}
    for prop in template.parameters:
        name = PREFIX + prop.name
        if prop.kind is PropertyKind.BOOLEAN:
            # Browsers do not send an unticked box.
            values[prop.name] = name in typed or (typed.get("template_shown") != template.template_id and prop.default)
        elif name in typed:
            values[prop.name] = _lines(typed[name])
    return Form(
        template,
        input=_lines(typed.get("input", "")),
        values=values,
        parameters_json=_lines(typed.get("parameters_json", "")),
        # "Run again" skips the cache, and its button may name another model.
        model=typed.get("again") or typed.get("model", ""),
        fresh="fresh" in typed or "again" in typed,
        options={name: typed.get(OPTION_PREFIX + name, "").strip() for name in template.overridable},
    )


def form_of(
    template: Template,
    input: str,
    parameters: Mapping[str, Any] | None = None,
    model: str = "",
    options: Mapping[str, Any] | None = None,
) -> Form:
    """The form filled with these values; leaves out parameters and options that the template does not have."""
    inputs = {prop.name: prop for prop in template.parameters}
    values = {name: as_text(inputs[name], value) for name, value in (parameters or {}).items() if name in inputs}
    set_options = {name: json.dumps(value) for name, value in (options or {}).items() if name in template.overridable}
    return Form(template, input=input, values=values, model=model, options=set_options)


def chosen_model(generation: Generation, template: Template, models: AllowedModels) -> str:
    """The model that a stored request asked for; empty if it is the default, or may no longer be asked for."""
    asked = generation.fallbacks[0].model if generation.fallbacks else generation.model
    return asked if asked in models.allowed_for(template) and asked != models.default_for(template) else ""


def widget(prop: Property) -> str:
    """The kind of form field: `checkbox`, `select`, `range`, `number`, `list` (one item per line), `json`, `line` or `text`."""
    if prop.kind is PropertyKind.BOOLEAN:
        return "checkbox"
    if prop.enum:
        return "select"
    if prop.kind in (PropertyKind.INTEGER, PropertyKind.FLOAT):
        # A slider always has a value: without a default it would invent one.
        span = None if prop.minimum is None or prop.maximum is None else prop.maximum - prop.minimum
        few = span is not None and (prop.kind is PropertyKind.FLOAT or span <= MAX_STEPS)
        return "range" if few and prop.default is not None else "number"
    if prop.kind is PropertyKind.ARRAY:
        return (
            "list" if prop.items is None or prop.items.kind not in (PropertyKind.ARRAY, PropertyKind.OBJECT) else "json"
        )
    if prop.kind is PropertyKind.OBJECT:
        return "json"
    return "line" if prop.max_length is not None and prop.max_length <= LINE_CHARS else "text"


def as_text(prop: Property, value: Any) -> Any:
    """A value as its field shows it; booleans stay booleans."""
    if prop.kind is PropertyKind.BOOLEAN:
        return bool(value)
    if value is None:
        return ""
    if widget(prop) == "list" and isinstance(value, list):
        lines = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in value)
        if from_text(prop, lines) == value:
            return lines
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def from_text(prop: Property, typed: Any) -> Any:
    """The typed value; the text itself if it is not valid, for the core's check to report.

    Raises `InvalidInput` for a list of too many lines: each is parsed.
    """
    if prop.kind in (PropertyKind.STRING, PropertyKind.BOOLEAN):
        return typed
    if widget(prop) == "list" and not isinstance(_value(typed), list):
        if typed.count("\n") >= MAX_VALUES:
            fault = FieldError(f"parameters.{prop.name}", f"must have at most {MAX_VALUES:,} lines")
            raise InvalidInput.of([fault])
        lines = [line.strip() for line in typed.split("\n") if line.strip()]
        return [_value(line) for line in lines] if prop.items and prop.items.kind is not PropertyKind.STRING else lines
    return _value(typed)


def field_id(path: str) -> str:
    """The id of a field's element, from a path. Paths inside a list or an object lead to the field of the whole."""
    return "field-" + _FIELD_ID.sub("-", ".".join(path.split(".")[:2]))


def _value(typed: str) -> Any:
    try:
        return parse_json(typed.encode("utf-8", "surrogatepass"))
    except RequestError:
        return typed


def field_label(path: str) -> str:
    """`parameters.target_language` -> `Target language`."""
    if path == JSON_FIELD:
        return "Parameters as JSON"
    return path.removeprefix("parameters.").removeprefix("options.").replace("_", " ").capitalize()


def _means_empty(prop: Property) -> bool:
    """Whether an emptied field means an empty value: for a text or a list that would otherwise get its default."""
    return prop.kind in (PropertyKind.STRING, PropertyKind.ARRAY) and not prop.enum and bool(prop.default)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
