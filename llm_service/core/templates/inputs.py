"""The inputs of a template: what callers may and must send."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import FieldError, InvalidInput
from .properties import Property, normalize_number

MAIN_INPUT = "input"


def path_of(declared: Property) -> str:
    """The path of an input in a request: `input` or `parameters.NAME`."""
    return MAIN_INPUT if declared.name == MAIN_INPUT else f"parameters.{declared.name}"


def check_values(inputs: Sequence[Property], text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each declared input, with defaults filled in.

    Raises `InvalidInput` that names each value that is missing, unknown, of the wrong type or out of bounds.
    """
    given = {**parameters, MAIN_INPUT: text}
    names = {declared.name for declared in inputs}
    errors = [
        FieldError(f"parameters.{name[:64]}", _unknown(name, inputs))
        for name in parameters
        if name == MAIN_INPUT or name not in names
    ]
    values: dict[str, Any] = {}
    for declared in inputs:
        if declared.name in given:
            values[declared.name] = normalize_number(given[declared.name])
            errors += _check(declared, given[declared.name])
        else:
            values[declared.name] = normalize_number(declared.effective_default)
            if declared.required:
                errors.append(FieldError(path_of(declared), "is required"))
    if errors:
        raise InvalidInput.of(errors)
    return values


def _check(declared: Property, value: Any) -> Iterator[FieldError]:
    if declared.name == MAIN_INPUT and isinstance(value, str) and (not value or value.isspace()):
        yield FieldError(MAIN_INPUT, "must not be empty")
    else:
        yield from declared.check(value, path_of(declared))


def _unknown(name: str, inputs: Sequence[Property]) -> str:
    if name == MAIN_INPUT:
        return "must be the field input of the request, not a parameter"
    allowed = [declared.name for declared in inputs if declared.name != MAIN_INPUT]
    return "is not a parameter of this template" + (f" (allowed: {', '.join(allowed)})" if allowed else "")
