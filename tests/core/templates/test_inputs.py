import pytest

from llm_service.core.errors import InvalidInput
from llm_service.core.templates.inputs import check_values
from llm_service.core.templates.properties import Property, PropertyKind, object_schema

MAIN = Property("input", PropertyKind.STRING, max_length=10)
TONE = Property("tone", PropertyKind.STRING, required=False, default="neutral", enum=("neutral", "simple"))
LINES = Property("lines", PropertyKind.INTEGER, required=False, default=3, minimum=1, maximum=9)


def test_a_blank_main_text_is_none() -> None:
    with pytest.raises(InvalidInput) as raised:
        check_values([MAIN], " \n\t", {})
    assert [(error.field, error.message) for error in raised.value.fields] == [("input", "must not be empty")]


def test_defaults_fill_in() -> None:
    assert check_values([MAIN, TONE, LINES], "Hi", {"lines": 5}) == {"input": "Hi", "tone": "neutral", "lines": 5}


def test_every_fault_is_named_at_once() -> None:
    needed = Property("needed", PropertyKind.STRING)
    with pytest.raises(InvalidInput) as raised:
        check_values([MAIN, TONE, LINES, needed], "x" * 11, {"tone": "loud", "nope": 1, "input": "y"})
    assert {error.field for error in raised.value.fields} == {
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
