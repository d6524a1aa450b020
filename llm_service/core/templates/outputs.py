"""Answers that are JSON: what a template declares of them, and the check that an answer keeps it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from ..errors import FieldError, InputError, InvalidOutput
from .properties import Property, check_object, object_schema, sample

# How many faults of an answer are told.
SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The answer must be JSON of this schema. `sample` is a value that is."""

    name: str
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]


@dataclass(frozen=True)
class Outputs:
    """The keys of the object that the model must answer with."""

    properties: tuple[Property, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        return object_schema(self.properties)

    def sample(self) -> dict[str, Any]:
        """An answer that is valid, made of examples."""
        return {one.name: sample(one) for one in self.properties}

    def parse(self, text: str) -> dict[str, Any]:
        """The answer as a value.

        Raises `InvalidOutput` that names what is wrong with it.
        """
        try:
            value = read_json(text)
        except (ValueError, RecursionError) as error:
            raise InvalidOutput.of([FieldError("output_json", "is not valid JSON")]) from error
        if not isinstance(value, dict):
            raise InvalidOutput.of([FieldError("output_json", "must be an object")])
        faults = list(_first(self._check(value), SHOWN_FAULTS))
        if faults:
            raise InvalidOutput.of(faults)
        return value

    def _check(self, value: Mapping[str, Any]) -> Iterator[FieldError]:
        try:
            yield from check_object(self.properties, value, "output_json")
        except InputError as error:
            yield from error.fields


def read_json(text: str) -> Any:
    """As `json.loads`, but for what is not JSON at all: NaN and infinities.

    Raises `ValueError` or `RecursionError`.
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _first(faults: Iterator[FieldError], count: int) -> Sequence[FieldError]:
    return [fault for fault, _ in zip(faults, range(count), strict=False)]
