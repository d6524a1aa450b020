"""The typed inputs of a template: one declaration that checks values and describes itself as JSON Schema."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .errors import FieldError, InvalidInput
from .text import refuse_forbidden

MAIN_INPUT = "input"
# JSON numbers beyond this lose digits in JavaScript and in many other readers (RFC 8259, section 6).
MAX_INTEGER = 2**53 - 1


class Kind(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


JSON_TYPES = {Kind.FLOAT: "number"}


@dataclass(frozen=True, slots=True)
class Input:
    """One declared input. `default` is used where `required` is False and no value came.

    `max_length` bounds the characters of a string, or of an array's or object's JSON text.
    """

    name: str
    kind: Kind
    description: str = ""
    required: bool = True
    default: Any = None
    enum: tuple[Any, ...] = ()
    example: Any = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    @property
    def field(self) -> str:
        """The path under which callers know it: `input`, or `parameters.NAME`."""
        return self.name if self.name == MAIN_INPUT else f"parameters.{self.name}"

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": JSON_TYPES.get(self.kind, self.kind.value)}
        text = self.kind is Kind.STRING
        for key, value in (
            ("description", self.description or None),
            ("enum", list(self.enum) or None),
            ("minimum", self.minimum),
            ("maximum", self.maximum),
            ("minLength", self.min_length if text else None),
            ("maxLength", self.max_length if text else None),
            ("pattern", self.pattern),
            ("default", None if self.required else self.default),
        ):
            if value is not None:
                schema[key] = value
        if self.example is not None:
            schema["examples"] = [self.example]
        return schema

    def check(self, value: Any) -> str | None:
        """What is wrong with `value`, in words for the caller; None = nothing.

        Raises `InvalidCharacter` for text that cannot be stored.
        """
        wrong_type = _TYPE_CHECKS[self.kind](value)
        if wrong_type:
            return wrong_type
        if self.enum and value not in self.enum:
            return "must be one of: " + ", ".join(str(one) for one in self.enum)
        if self.kind is Kind.STRING:
            return self._check_text(value)
        if self.kind in (Kind.INTEGER, Kind.FLOAT):
            return self._check_number(value)
        if self.kind in (Kind.ARRAY, Kind.OBJECT):
            return self._check_json(value)
        return None

    def _check_text(self, value: str) -> str | None:
        refuse_forbidden(self.field, value)
        length = len(value)
        if self.max_length is not None and length > self.max_length:
            return f"must have at most {self.max_length:,} characters, has {length:,}"
        if self.min_length is not None and length < self.min_length:
            return f"must have at least {self.min_length:,} characters, has {length:,}"
        if self.name == MAIN_INPUT and not value.strip():
            return "must not be empty"
        if self.pattern is not None and not re.search(self.pattern, value):
            return f"must match the pattern {self.pattern}"
        return None

    def _check_number(self, value: float) -> str | None:
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}"
        return None

    def _check_json(self, value: Any) -> str | None:
        text = json.dumps(value, ensure_ascii=False)
        refuse_forbidden(self.field, text)
        if "\\u0000" in text:
            refuse_forbidden(self.field, "\x00")
        if self.max_length is not None and len(text) > self.max_length:
            return f"must have at most {self.max_length:,} characters as JSON, has {len(text):,}"
        return None


def _is_integer(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be an integer"
    return None if abs(value) <= MAX_INTEGER else f"must be between -{MAX_INTEGER} and {MAX_INTEGER}"


def _is_number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return None if math.isfinite(value) else "must be a finite number"


_TYPE_CHECKS: Mapping[Kind, Callable[[Any], str | None]] = {
    Kind.STRING: lambda value: None if isinstance(value, str) else "must be a string",
    Kind.INTEGER: _is_integer,
    Kind.FLOAT: _is_number,
    Kind.BOOLEAN: lambda value: None if isinstance(value, bool) else "must be true or false",
    Kind.ARRAY: lambda value: None if isinstance(value, list) else "must be a list",
    Kind.OBJECT: lambda value: None if isinstance(value, dict) else "must be an object",
}


def object_schema(inputs: Sequence[Input]) -> dict[str, Any]:
    """The JSON Schema of a set of inputs as one object; a name that is not declared is refused."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: one.json_schema() for one in inputs},
        "additionalProperties": False,
    }
    required = [one.name for one in inputs if one.required]
    return {**schema, "required": required} if required else schema


def check_values(inputs: Sequence[Input], text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every declared input, defaults filled in.

    Raises `InvalidInput` that names each value that is missing, undeclared, of the wrong type or out of bounds.
    """
    errors = [
        FieldError(f"parameters.{name[:64]}", _undeclared(name, inputs))
        for name in parameters
        if name == MAIN_INPUT or all(name != one.name for one in inputs)
    ]
    values: dict[str, Any] = {}
    for one in inputs:
        if one.name != MAIN_INPUT and one.name not in parameters:
            values[one.name] = one.default
            message = "is required" if one.required else None
        else:
            values[one.name] = text if one.name == MAIN_INPUT else parameters[one.name]
            message = one.check(values[one.name])
        if message:
            errors.append(FieldError(one.field, message))
    if errors:
        raise InvalidInput.of(errors)
    return values


def _undeclared(name: str, inputs: Sequence[Input]) -> str:
    if name == MAIN_INPUT:
        return "belongs beside parameters, as the field input"
    declared = [one.name for one in inputs if one.name != MAIN_INPUT]
    return "is not a parameter of this template" + (f" (it has: {', '.join(declared)})" if declared else "")
