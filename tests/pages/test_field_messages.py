"""The messages of a form's fields, from the real checks of the core: if these change their words, a test here fails."""

from typing import Any

import pytest

from llm_service.core.errors import FieldError
from llm_service.core.templates.properties import Property, PropertyKind
from llm_service.web.pages.field_messages import field_messages

WORD = Property("", PropertyKind.STRING, pattern=r"^\d{4}$", example="2026")


def message(prop: Property, value: Any, typed: str | None = None) -> str:
    faults = list(prop.check(value, f"parameters.{prop.name}"))
    return field_messages(faults, [prop], {prop.name: typed})[f"parameters.{prop.name}"]


@pytest.mark.parametrize(
    ("prop", "value", "words"),
    [
        (Property("a", PropertyKind.STRING, pattern=r"^\d{4}$", example="2026"), "x", "Must look like 2026"),
        (Property("a", PropertyKind.STRING, pattern=r"^\d{4}$"), "x", r"Has the wrong format (^\d{4}$)"),
        (Property("a", PropertyKind.ARRAY, min_items=2, max_items=50), [1], "Must have between 2 and 50 items (has 1)"),
        (Property("a", PropertyKind.ARRAY, min_items=2), [1], "Must have at least 2 items (has 1)"),
        (Property("a", PropertyKind.STRING, min_length=2, max_length=9), "x", "Must have between 2 and 9 characters (has 1)"),
        (Property("a", PropertyKind.STRING, max_length=1), "xy", "Must be at most 1 characters (has 2)"),
        (Property("a", PropertyKind.INTEGER, minimum=1, maximum=5), 9, "Must be between 1 and 5"),
        (Property("a", PropertyKind.FLOAT, minimum=0.5), 0, "Must be at least 0.5"),
        (Property("a", PropertyKind.INTEGER), "x", "Must be a whole number"),
        (Property("a", PropertyKind.ARRAY, items=WORD), ["2026", "x"], "Item 2: must look like 2026"),
    ],
)  # fmt: skip
def test_what_a_value_must_be(prop: Property, value: Any, words: str) -> None:
    assert message(prop, value) == words


def test_invalid_json_says_where() -> None:
    prop = Property("style", PropertyKind.OBJECT)
    text = '{\n  "a": 1,\n}'
    assert message(prop, text, text).endswith("(line 2, column 9)") or "(line 3, column 1)" in message(prop, text, text)
    assert message(prop, 5, "5") == 'Must be a JSON object such as {"key": "value"}'


def test_errors_inside_an_object_name_its_keys() -> None:
    inner = Property("shoe_size", PropertyKind.INTEGER, minimum=1, maximum=60)
    assert (
        message(Property("customer", PropertyKind.OBJECT, properties=(inner,)), {"shoe_size": 99})
        == "Shoe size: must be between 1 and 60"
    )


def test_what_no_field_has_is_said_at_the_json() -> None:
    faults = [
        FieldError("parameters.nope", "is not a parameter of this template"),
        FieldError("parameters.input", "must be"),
    ]
    assert field_messages(faults, [], {}) == {
        "parameters_json": '"nope" is not a parameter of this template; "input" has a field of its own'
    }
