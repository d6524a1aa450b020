"""The model options that a caller may set for one request, where the template allows it.

They are declared like inputs, so they are checked and documented alike. Their names are those of `ProviderCall.options`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import FieldError, InvalidInput
from .properties import Property, PropertyKind, normalize_number

MAX_OUTPUT_TOKENS = 1_000_000
OVERRIDABLE_OPTIONS: Mapping[str, Property] = {
    declared.name: declared
    for declared in (
        Property(
            "temperature",
            PropertyKind.FLOAT,
            "Lower values make answers more consistent, higher ones more varied.",
            required=False,
            minimum=0,
            maximum=2,
            example=0.2,
        ),
        Property(
            "max_output_tokens",
            PropertyKind.INTEGER,
            "The maximum length of the answer in tokens, including reasoning. A longer answer is cut off.",
            required=False,
            minimum=1,
            maximum=MAX_OUTPUT_TOKENS,
            example=1000,
        ),
    )
}


def path_of_option(name: str) -> str:
    """The path of an option in a request."""
    return f"options.{name}"


def check_options(overridable: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a caller set, checked.

    Raises `InvalidInput` that names each one that is not overridable, of the wrong type or out of bounds.
    """
    errors: list[FieldError] = []
    for name, value in given.items():
        path = path_of_option(name[:64])
        if name in overridable:
            errors += OVERRIDABLE_OPTIONS[name].check(value, path)
        else:
            errors.append(FieldError(path, _not_overridable(overridable)))
    if errors:
        raise InvalidInput.of(errors)
    return {name: normalize_number(value) for name, value in given.items()}


def _not_overridable(overridable: Sequence[str]) -> str:
    if not overridable:
        return "cannot be set: this template allows no options"
    return f"cannot be set for this template (allowed: {', '.join(overridable)})"
