"""The inputs of a template: what a caller may and must send."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import FieldError, InvalidInput
from .properties import Property, normal

MAIN_INPUT = "input"


def path_of(one: Property) -> str:
    """Under which callers know an input: `input`, or `parameters.NAME`."""
    return MAIN_INPUT if one.name == MAIN_INPUT else f"parameters.{one.name}"


def check_values(inputs: Sequence[Property], text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every declared input, defaults filled in.

    Raises `InvalidInput` that names each value that is missing, undeclared, of the wrong type or out of bounds.
    """
    given = {**parameters, MAIN_INPUT: text}
    declared = {one.name for one in inputs}
    errors = [
        FieldError(f"parameters.{name[:64]}", _undeclared(name, inputs))
        for name in parameters
        if name == MAIN_INPUT or name not in declared
    ]
    values: dict[str, Any] = {}
    for one in inputs:
        if one.name in given:
            values[one.name] = normal(given[one.name])
            errors += _check(one, given[one.name])
        else:
            values[one.name] = normal(one.absent)
            if one.required:
                errors.append(FieldError(path_of(one), "is required"))
    if errors:
        raise InvalidInput.of(errors)
    return values


def _check(one: Property, value: Any) -> Iterator[FieldError]:
    if one.name == MAIN_INPUT and isinstance(value, str) and (not value or value.isspace()):
        yield FieldError(MAIN_INPUT, "must not be empty")
    else:
        yield from one.check(value, path_of(one))


def _undeclared(name: str, inputs: Sequence[Property]) -> str:
    if name == MAIN_INPUT:
        return "belongs beside parameters, as the field input"
    declared = [one.name for one in inputs if one.name != MAIN_INPUT]
    return "is not a parameter of this template" + (f" (it has: {', '.join(declared)})" if declared else "")
