import math

import pytest

from llm_service.core.errors import FieldError, InvalidCharacter, InvalidInput
from llm_service.core.templates.properties import Property, PropertyKind, object_schema, sample_value

ITEM = Property(
    "",
    PropertyKind.OBJECT,
    properties=(Property("task", PropertyKind.STRING), Property("due", PropertyKind.STRING, nullable=True)),
)
LABELS = Property(
    "a", PropertyKind.ARRAY, items=Property("", PropertyKind.STRING, max_length=3), min_items=1, max_items=2
)


def faults(prop: Property, value: object) -> list[FieldError]:
    return list(prop.check(value, "parameters.a"))


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        (Property("a", PropertyKind.STRING, min_length=2, max_length=3), "ab"),
        (Property("a", PropertyKind.STRING, max_length=2), "😀😀"),
        (Property("a", PropertyKind.STRING, pattern="^[a-z]+$"), "abc"),
        (Property("a", PropertyKind.STRING), "\u202e \ufffe \U000e0041 e\u0301"),
        (Property("a", PropertyKind.INTEGER, minimum=0), 0),
        (Property("a", PropertyKind.FLOAT, maximum=2), 2),
        (Property("a", PropertyKind.FLOAT), -0.5),
        (Property("a", PropertyKind.BOOLEAN), False),
        (Property("a", PropertyKind.ARRAY, max_length=20), ["b", 1]),
        (Property("a", PropertyKind.OBJECT, max_length=20), {"b": None}),
        (Property("a", PropertyKind.STRING, nullable=True), None),
        (LABELS, ["b", "cde"]),
        (Property("a", PropertyKind.ARRAY, items=ITEM), [{"task": "x", "due": None}]),
        # What JSON spells like NUL, but is six characters of text.
        (Property("a", PropertyKind.ARRAY), ["\\u0000"]),
    ],
)
def test_good_values(prop: Property, value: object) -> None:
    assert faults(prop, value) == []


@pytest.mark.parametrize(
    ("prop", "value", "words"),
    [
        (Property("a", PropertyKind.STRING), 1, "string"),
        (Property("a", PropertyKind.STRING), None, "string"),
        (Property("a", PropertyKind.STRING, max_length=3), "abcd", "at most 3"),
        (Property("a", PropertyKind.STRING, min_length=3), "ab", "at least 3"),
        (Property("a", PropertyKind.STRING, pattern="^[a-z]+$"), "ab1", "pattern"),
        (Property("a", PropertyKind.STRING, enum=("b", "c")), "d", "one of: b, c"),
        (Property("a", PropertyKind.INTEGER), True, "integer"),
        (Property("a", PropertyKind.INTEGER), "10", "integer"),
        (Property("a", PropertyKind.INTEGER), 10.7, "integer"),
        (Property("a", PropertyKind.INTEGER), 10.5, "integer"),
        (Property("a", PropertyKind.INTEGER), float("inf"), "integer"),
        (Property("a", PropertyKind.INTEGER), 2**63, "between"),
        (Property("a", PropertyKind.INTEGER, minimum=1), 0, "at least 1"),
        (Property("a", PropertyKind.FLOAT, maximum=2), 2.1, "at most 2"),
        (Property("a", PropertyKind.FLOAT), math.nan, "finite"),
        (Property("a", PropertyKind.FLOAT), math.inf, "finite"),
        (Property("a", PropertyKind.FLOAT), "1.0", "number"),
        (Property("a", PropertyKind.BOOLEAN), "true", "true or false"),
        (Property("a", PropertyKind.BOOLEAN), 1, "true or false"),
        (Property("a", PropertyKind.ARRAY), "x", "list"),
        (Property("a", PropertyKind.ARRAY, max_length=5), ["abcdef"], "at most 5"),
        (Property("a", PropertyKind.OBJECT), [], "object"),
        (LABELS, [], "at least 1 items"),
        (LABELS, ["b"] * 3, "at most 2 items"),
        (Property("a", PropertyKind.INTEGER), -(10**400), "between"),
        (Property("a", PropertyKind.FLOAT), 10**400, "finite"),
    ],
)
def test_bad_values(prop: Property, value: object, words: str) -> None:
    (fault,) = faults(prop, value)
    assert fault.field == "parameters.a"
    assert words in fault.message


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize("kind", [PropertyKind.STRING, PropertyKind.ARRAY, PropertyKind.OBJECT])
def test_text_that_cannot_be_stored(kind: PropertyKind, value: str) -> None:
    shaped = {PropertyKind.STRING: value, PropertyKind.ARRAY: [value], PropertyKind.OBJECT: {"k": value}}[kind]
    with pytest.raises(InvalidCharacter) as raised:
        faults(Property("a", kind), shaped)
    assert raised.value.fields[0].field == "parameters.a"


@pytest.mark.parametrize(
    ("prop", "value", "field", "words"),
    [
        (LABELS, ["b", "long"], "parameters.a.1", "at most 3"),
        (Property("a", PropertyKind.ARRAY, items=ITEM), [{"task": 3, "due": None}], "parameters.a.0.task", "string"),
        (Property("a", PropertyKind.ARRAY, items=ITEM), [{"due": None}], "parameters.a.0.task", "is required"),
        (ITEM, {"task": "x", "due": None, "who": 1}, "parameters.a.who", "is not an allowed key"),
    ],
)
def test_what_is_wrong_inside_is_named_by_its_path(prop: Property, value: object, field: str, words: str) -> None:
    (fault,) = faults(prop, value)
    assert (fault.field, words in fault.message) == (field, True)


def test_no_number_without_an_end_gets_in_anywhere() -> None:
    with pytest.raises(InvalidInput, match=r"parameters\.a"):
        faults(Property("a", PropertyKind.ARRAY), [[1.0, {"b": math.inf}]])


def test_nested_json_schema() -> None:
    assert object_schema([Property("a", PropertyKind.ARRAY, items=ITEM, max_items=5)])["properties"]["a"] == {
        "type": "array",
        "maxItems": 5,
        "items": {
            "type": "object",
            "properties": {"task": {"type": "string"}, "due": {"type": ["string", "null"]}},
            "required": ["task", "due"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        (Property("a", PropertyKind.STRING, example="x"), "x"),
        (Property("a", PropertyKind.STRING, default="d", required=False), "d"),
        (Property("a", PropertyKind.STRING, enum=("b", "c")), "b"),
        (Property("a", PropertyKind.STRING, max_length=2), "te"),
        (Property("a", PropertyKind.STRING, min_length=7), "texttext"),
        (Property("a", PropertyKind.INTEGER, minimum=1.5), 2),
        (Property("a", PropertyKind.INTEGER, maximum=-3), -3),
        (Property("a", PropertyKind.FLOAT), 0),
        (Property("a", PropertyKind.BOOLEAN), False),
        (LABELS, ["tex"]),
        (Property("a", PropertyKind.ARRAY, items=ITEM, min_items=2), [{"task": "text", "due": "text"}] * 2),
    ],
)
def test_samples_are_allowed_values(prop: Property, value: object) -> None:
    assert sample_value(prop) == value
    assert faults(prop, value) == []


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON Schema counts 10.0 among the integers."""
    assert faults(Property("a", PropertyKind.INTEGER, maximum=10), 10.0) == []
    assert len(faults(Property("a", PropertyKind.INTEGER, maximum=10), 11.0)) == 1
