"""Answers in JSON: what a template declares, and the check of an answer against it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NoReturn

from ..errors import FieldError, InvalidOutput
from .properties import Property, check_object, including_raised, object_schema, sample_value

# How many errors of an answer are reported.
MAX_OUTPUT_ERRORS = 20
# Deeper values could be neither checked nor written: Python's stack is the limit.
MAX_OUTPUT_DEPTH = 100


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The answer must be JSON of this schema. `sample` is a valid value."""

    name: str
    schema: Mapping[str, Any]
    sample: Mapping[str, Any]


@dataclass(frozen=True)
class Outputs:
    """The keys of the JSON object that the model must answer with."""

    properties: tuple[Property, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        return object_schema(self.properties)

    def sample(self) -> dict[str, Any]:
        """A valid answer, made of examples."""
        return {declared.name: sample_value(declared) for declared in self.properties}

    def parse(self, text: str) -> dict[str, Any]:
        """The answer as a value.

        Raises `InvalidOutput` that names its errors.
        """
        try:
            value = load_strict_json(text)
        except (ValueError, RecursionError) as error:
            raise InvalidOutput.of([FieldError("output_json", "is not valid JSON")], _why_not_json(text)) from error
        if not isinstance(value, dict):
            raise InvalidOutput.of([FieldError("output_json", "must be an object")])
        if _is_deeper(value, MAX_OUTPUT_DEPTH):
            message = f"must not be nested more than {MAX_OUTPUT_DEPTH} levels deep"
            raise InvalidOutput.of([FieldError("output_json", message)])
        errors = including_raised(check_object(self.properties, value, "output_json"))
        if reported := list(islice(errors, MAX_OUTPUT_ERRORS)):
            raise InvalidOutput.of(reported)
        return value


def _why_not_json(text: str) -> str:
    """What the beginning of a text that is not JSON tells about its server."""
    beginning = text.lstrip()[:20]
    if beginning.startswith("<think>"):
        return (
            "It begins with the model's thoughts (<think>). Operators: set strip_think for the provider, or start its server "
            "with a reasoning parser."
        )
    if beginning.startswith(("{", "[")):
        return ""
    if "</think>" in text:
        # The prompt of such a model opens its thoughts, so that the text only closes them: nothing can drop them.
        return (
            "It seems to begin with the model's thoughts, which end with </think>. Operators: start the provider's server with "
            "a reasoning parser."
        )
    return (
        "It is text instead of JSON: the server seems to ignore JSON schemas. Operators: set schema_in_prompt for the "
        "provider, or use another model."
    )


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether arrays and objects are nested deeper than this."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inner_values(outer)]
    return any(isinstance(value, dict | list) for value in level)


def _inner_values(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def load_strict_json(text: str) -> Any:
    """As `json.loads`, but NaN and infinities, which are not JSON, are refused.

    Raises `ValueError` or `RecursionError`.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
