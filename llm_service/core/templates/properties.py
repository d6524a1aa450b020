"""The typed inputs and outputs of templates: one declaration validates values and yields their JSON Schema.

The names are those of the Prompty format and of JSON Schema. Types are strict: `"10"` is not an integer, and `true` is
not a number.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..errors import FieldError, InputError, InvalidInput
from ..text import refuse_forbidden, repair
from .patterns import pattern_matches

# Larger JSON integers lose digits in JavaScript and many other readers (RFC 8259, section 6).
MAX_INTEGER = 2**53 - 1
MAX_FLOAT = sys.float_info.max


class PropertyKind(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


JSON_TYPES = {PropertyKind.FLOAT: "number"}


@dataclass(frozen=True, slots=True)
class Property:
    """A declared value. `default` is used if `required` is False and the value is omitted; None = no default.

    `max_length` limits the characters of a string, or of the JSON text of an array or object. `items` declares the items
    of an array (None = any JSON value), `properties` the keys of an object (None = any). `nullable`: `null` is allowed.
    """

    name: str
    kind: PropertyKind
    description: str = ""
    required: bool = True
    nullable: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    example: Any = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    items: "Property | None" = None
    properties: "tuple[Property, ...] | None" = None

    @property
    def effective_default(self) -> Any:
        """The value that a template renders if it is omitted: the default, or an empty value."""
        if self.default is not None or self.required:
            return self.default
        return _EMPTY[self.kind]() if self.kind in _EMPTY else None

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12, as in OpenAPI 3.1."""
        json_type = JSON_TYPES.get(self.kind, self.kind.value)
        schema: dict[str, Any] = {"type": [json_type, "null"] if self.nullable else json_type}
        text = self.kind is PropertyKind.STRING
        for key, value in (
            ("description", self.description or None),
            ("enum", self._in_schema([*self.enum, None] if self.nullable else list(self.enum)) if self.enum else None),
            ("minimum", self.minimum),
            ("maximum", self.maximum),
            ("minLength", self.min_length if text else None),
            ("maxLength", self.max_length if text else None),
            ("pattern", self.pattern),
            ("minItems", self.min_items),
            ("maxItems", self.max_items),
            ("items", self.items.json_schema() if self.items else {} if self.kind is PropertyKind.ARRAY else None),
            ("default", self._in_schema(self.default)),
        ):
            if value is not None:
                schema[key] = value
        if self.properties is not None:
            schema.update(object_schema(self.properties))
        if self.example is not None:
            schema["examples"] = [self._in_schema(self.example)]
        return schema

    def _in_schema(self, value: Any) -> Any:
        """A float is always written with a fraction: client generators take 1 for an integer."""
        if self.kind is not PropertyKind.FLOAT or value is None:
            return value
        return [self._in_schema(item) for item in value] if isinstance(value, list) else float(value)

    def check(self, value: Any, path: str) -> Iterator[FieldError]:
        """The errors of `value`, in words for the caller. Those of inner values have paths below `path`.

        Raises `InvalidCharacter` for text that cannot be stored, and `InvalidInput` for infinite numbers.
        """
        if value is None and self.nullable:
            return
        wrong_type = _TYPE_CHECKS[self.kind](value)
        if wrong_type:
            yield FieldError(path, wrong_type)
        elif self.enum and value not in self.enum:
            yield FieldError(path, "must be one of: " + ", ".join(map(str, self.enum)))
        else:
            yield from _VALUE_CHECKS.get(self.kind, _nothing)(self, value, path)

    def _check_text(self, value: str, path: str) -> Iterator[FieldError]:
        refuse_forbidden(path, value)
        length = len(value)
        if self.max_length is not None and length > self.max_length:
            yield FieldError(path, f"must be at most {self.max_length:,} characters (has {length:,})")
        elif self.min_length is not None and length < self.min_length:
            yield FieldError(path, f"must be at least {self.min_length:,} characters (has {length:,})")
        elif self.pattern is not None and not pattern_matches(self.pattern, value):
            yield FieldError(path, f"must match the pattern {self.pattern}")

    def _check_number(self, value: float, path: str) -> Iterator[FieldError]:
        if self.minimum is not None and value < self.minimum:
            yield FieldError(path, f"must be at least {plain_number(self.minimum)}")
        elif self.maximum is not None and value > self.maximum:
            yield FieldError(path, f"must be at most {plain_number(self.maximum)}")

    def _check_list(self, value: list[Any], path: str) -> Iterator[FieldError]:
        if self.max_items is not None and len(value) > self.max_items:
            yield FieldError(path, f"must have at most {self.max_items:,} items (has {len(value):,})")
        elif self.min_items is not None and len(value) < self.min_items:
            yield FieldError(path, f"must have at least {self.min_items:,} items (has {len(value):,})")
        elif self._is_short(value, path):
            for index, item in enumerate(value):
                if self.items is not None:
                    yield from self.items.check(item, f"{path}.{index}")
        else:
            yield self._too_long(path)

    def _check_object(self, value: dict[str, Any], path: str) -> Iterator[FieldError]:
        if not self._is_short(value, path):
            yield self._too_long(path)
        elif self.properties is not None:
            yield from check_object(self.properties, value, path)

    def _is_short(self, value: Any, path: str) -> bool:
        """Also checks every text inside."""
        return _json_length(value, path) <= (math.inf if self.max_length is None else self.max_length)

    def _too_long(self, path: str) -> FieldError:
        return FieldError(path, f"must be at most {self.max_length:,} characters as JSON")


def plain_number(value: float) -> str:
    """All digits and no exponent: `0.00001`."""
    return f"{Decimal(repr(value)):f}"


def normalize_number(value: Any) -> Any:
    """Make 1.0 an integer: 1.0 and 1 are the same number in JSON and must render alike."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER else value


def object_schema(properties: Sequence[Property]) -> dict[str, Any]:
    """The JSON Schema of an object with these keys and no others."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {declared.name: declared.json_schema() for declared in properties},
        "additionalProperties": False,
    }
    required = [declared.name for declared in properties if declared.required]
    return {**schema, "required": required} if required else schema


def check_object(properties: Sequence[Property], value: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """The errors of an object's keys and values."""
    prefix = f"{path}." if path else ""
    names = {declared.name for declared in properties}
    for name in value:
        if name not in names:
            yield FieldError(prefix + repair(name[:64]), "is not an allowed key")
    for declared in properties:
        if declared.name in value:
            yield from declared.check(value[declared.name], prefix + declared.name)
        elif declared.required:
            yield FieldError(prefix + declared.name, "is required")


def including_raised(errors: Iterator[FieldError]) -> Iterator[FieldError]:
    """The errors of a check, with those that it raises."""
    try:
        yield from errors
    except InputError as error:
        yield from error.fields


def sample_value(declared: Property) -> Any:
    """A valid value: the example or default, else the simplest one (which may not match a pattern)."""
    for known in (declared.example, declared.default):
        if known is not None:
            return known
    if declared.enum:
        return declared.enum[0]
    return _SAMPLES[declared.kind](declared)


_EMPTY: Mapping[PropertyKind, Callable[[], Any]] = {
    PropertyKind.STRING: str,
    PropertyKind.ARRAY: list,
    PropertyKind.OBJECT: dict,
}


def _sample_text(declared: Property) -> str:
    return ("text" * (1 + (declared.min_length or 0) // 4))[: declared.max_length]


def _sample_number(declared: Property) -> float:
    low, high = declared.minimum, declared.maximum
    number = low if low is not None else min(0, high) if high is not None else 0
    return math.ceil(number) if declared.kind is PropertyKind.INTEGER else number


def _sample_list(declared: Property) -> list[Any]:
    count = max(declared.min_items or 0, 0 if declared.max_items == 0 else 1)
    return [sample_value(declared.items)] * count if declared.items else []


def _sample_object(declared: Property) -> dict[str, Any]:
    return {inner.name: sample_value(inner) for inner in declared.properties or ()}


_SAMPLES: Mapping[PropertyKind, Callable[[Property], Any]] = {
    PropertyKind.STRING: _sample_text,
    PropertyKind.INTEGER: _sample_number,
    PropertyKind.FLOAT: _sample_number,
    PropertyKind.BOOLEAN: lambda declared: False,
    PropertyKind.ARRAY: _sample_list,
    PropertyKind.OBJECT: _sample_object,
}


def _json_length(value: Any, path: str) -> int:
    """About the length of its JSON text. Raises `InvalidCharacter` and `InvalidInput` for what cannot be stored."""
    if isinstance(value, str):
        refuse_forbidden(path, value)
        return len(value) + 2
    if isinstance(value, dict):
        return 2 + sum(_json_length(key, path) + 2 + _json_length(inner, path) for key, inner in value.items())
    if isinstance(value, list):
        return 2 + sum(_json_length(inner, path) + 2 for inner in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput.of([FieldError(path, "must contain only finite numbers")])
    return len(str(value))


def _nothing(_declared: Property, _value: Any, _path: str) -> Iterator[FieldError]:
    return iter(())


def _is_integer(value: Any) -> str | None:
    """3.0 is an integer too, as in JSON Schema."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        return "must be an integer"
    return None if abs(value) <= MAX_INTEGER else f"must be between -{MAX_INTEGER} and {MAX_INTEGER}"


def _is_number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    # An integer may be too large for a float.
    return None if abs(value) <= MAX_FLOAT else "must be a finite number"


_TYPE_CHECKS: Mapping[PropertyKind, Callable[[Any], str | None]] = {
    PropertyKind.STRING: lambda value: None if isinstance(value, str) else "must be a string",
    PropertyKind.INTEGER: _is_integer,
    PropertyKind.FLOAT: _is_number,
    PropertyKind.BOOLEAN: lambda value: None if isinstance(value, bool) else "must be true or false",
    PropertyKind.ARRAY: lambda value: None if isinstance(value, list) else "must be a list",
    PropertyKind.OBJECT: lambda value: None if isinstance(value, dict) else "must be an object",
}
_VALUE_CHECKS: Mapping[PropertyKind, Callable[[Property, Any, str], Iterator[FieldError]]] = {
    PropertyKind.STRING: Property._check_text,
    PropertyKind.INTEGER: Property._check_number,
    PropertyKind.FLOAT: Property._check_number,
    PropertyKind.ARRAY: Property._check_list,
    PropertyKind.OBJECT: Property._check_object,
}
