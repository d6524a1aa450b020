import math

import pytest

from llm_service.core.errors import InvalidCharacter, InvalidInput
from llm_service.core.parameters import Input, Kind, check_values, object_schema

MAIN = Input("input", Kind.STRING, max_length=10)
TONE = Input("tone", Kind.STRING, required=False, default="neutral", enum=("neutral", "simple"))
LINES = Input("lines", Kind.INTEGER, required=False, default=3, minimum=1, maximum=9)


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (Input("a", Kind.STRING, min_length=2, max_length=3), "ab"),
        (Input("a", Kind.STRING, max_length=2), "😀😀"),
        (Input("a", Kind.STRING, pattern="^[a-z]+$"), "abc"),
        (Input("a", Kind.STRING), "\u202e \ufffe \U000e0041 e\u0301"),
        (Input("a", Kind.INTEGER, minimum=0), 0),
        (Input("a", Kind.FLOAT, maximum=2), 2),
        (Input("a", Kind.FLOAT), -0.5),
        (Input("a", Kind.BOOLEAN), False),
        (Input("a", Kind.ARRAY, max_length=20), ["b", 1]),
        (Input("a", Kind.OBJECT, max_length=20), {"b": None}),
    ],
)
def test_good_values(one: Input, value: object) -> None:
    assert one.check(value) is None


@pytest.mark.parametrize(
    ("one", "value", "words"),
    [
        (Input("a", Kind.STRING), 1, "string"),
        (Input("a", Kind.STRING), None, "string"),
        (Input("a", Kind.STRING, max_length=3), "abcd", "at most 3"),
        (Input("a", Kind.STRING, min_length=3), "ab", "at least 3"),
        (Input("a", Kind.STRING, pattern="^[a-z]+$"), "ab1", "pattern"),
        (Input("a", Kind.STRING, enum=("b", "c")), "d", "one of: b, c"),
        (Input("input", Kind.STRING), " \n\t", "empty"),
        (Input("a", Kind.INTEGER), True, "integer"),
        (Input("a", Kind.INTEGER), "10", "integer"),
        (Input("a", Kind.INTEGER), 10.7, "integer"),
        (Input("a", Kind.INTEGER), 10.0, "integer"),
        (Input("a", Kind.INTEGER), 2**63, "between"),
        (Input("a", Kind.INTEGER, minimum=1), 0, "at least 1"),
        (Input("a", Kind.FLOAT, maximum=2), 2.1, "at most 2"),
        (Input("a", Kind.FLOAT), math.nan, "finite"),
        (Input("a", Kind.FLOAT), math.inf, "finite"),
        (Input("a", Kind.FLOAT), "1.0", "number"),
        (Input("a", Kind.BOOLEAN), "true", "true or false"),
        (Input("a", Kind.BOOLEAN), 1, "true or false"),
        (Input("a", Kind.ARRAY), "x", "list"),
        (Input("a", Kind.ARRAY, max_length=5), ["abcdef"], "at most 5"),
        (Input("a", Kind.OBJECT), [], "object"),
    ],
)
def test_bad_values(one: Input, value: object, words: str) -> None:
    assert words in str(one.check(value))


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize("kind", [Kind.STRING, Kind.ARRAY, Kind.OBJECT])
def test_text_that_cannot_be_stored(kind: Kind, value: str) -> None:
    shaped = {Kind.STRING: value, Kind.ARRAY: [value], Kind.OBJECT: {"k": value}}[kind]
    with pytest.raises(InvalidCharacter) as raised:
        Input("a", kind).check(shaped)
    assert raised.value.fields[0].field == "parameters.a"


def test_defaults_fill_in() -> None:
    assert check_values([MAIN, TONE, LINES], "Hi", {"lines": 5}) == {"input": "Hi", "tone": "neutral", "lines": 5}


def test_every_fault_is_named_at_once() -> None:
    needed = Input("needed", Kind.STRING)
    with pytest.raises(InvalidInput) as raised:
        check_values([MAIN, TONE, LINES, needed], "x" * 11, {"tone": "loud", "nope": 1, "input": "y"})
    assert {one.field for one in raised.value.fields} == {
        "input", "parameters.tone", "parameters.nope", "parameters.needed", "parameters.input",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["__proto__", "constructor", "__class__", "keys"])
def test_no_name_is_magic(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        check_values([MAIN], "Hi", {name: {}})


def test_json_schema() -> None:
    assert object_schema([MAIN, LINES]) == {
        "type": "object",
        "properties": {
            "input": {"type": "string", "maxLength": 10},
            "lines": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        },
        "required": ["input"],
        "additionalProperties": False,
    }
