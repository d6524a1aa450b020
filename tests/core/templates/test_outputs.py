import json

import pytest

from llm_service.core.errors import InvalidOutput
from llm_service.core.templates.outputs import Outputs
from llm_service.core.templates.properties import Property, PropertyKind

OUTPUTS = Outputs(
    (
        Property("label", PropertyKind.STRING, enum=("spam", "ham")),
        Property("score", PropertyKind.FLOAT, minimum=0, maximum=1),
        Property("why", PropertyKind.STRING, required=False, nullable=True, max_length=20),
        Property("tags", PropertyKind.ARRAY, items=Property("", PropertyKind.STRING), max_items=3),
    )
)
GOOD = {"label": "spam", "score": 0.5, "why": None, "tags": ["a"]}


def test_a_good_answer_comes_back_as_a_value() -> None:
    assert OUTPUTS.parse(json.dumps(GOOD, indent=3)) == GOOD
    assert OUTPUTS.parse(json.dumps({**GOOD, "why": "because"}))["why"] == "because"


def test_the_sample_is_good() -> None:
    assert OUTPUTS.parse(json.dumps(OUTPUTS.sample())) == OUTPUTS.sample()


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", ["output_json"]),
        ("Sure! Here is the JSON: {}", ["output_json"]),
        (json.dumps(GOOD)[:-1], ["output_json"]),
        (json.dumps(GOOD) + "}", ["output_json"]),
        ("[]", ["output_json"]),
        ("null", ["output_json"]),
        ("[" * 100_000, ["output_json"]),
        (json.dumps(GOOD).replace('"a"', "[" * 99 + "]" * 99), ["output_json"]),
        (json.dumps(GOOD).replace('"a"', "[" * 600 + "]" * 600), ["output_json"]),
        (json.dumps(GOOD).replace('"a"', "[" * 98 + "]" * 98), ["output_json.tags.0"]),
        (json.dumps(GOOD).replace("0.5", "NaN"), ["output_json"]),
        (json.dumps(GOOD).replace("0.5", "1e999"), ["output_json.score"]),
        (json.dumps(GOOD).replace("0.5", "9" * 5000), ["output_json"]),
        (json.dumps({**GOOD, "label": "other"}), ["output_json.label"]),
        (json.dumps({**GOOD, "score": "0.5"}), ["output_json.score"]),
        (json.dumps({**GOOD, "score": 2, "tags": ["a", 1]}), ["output_json.score", "output_json.tags.1"]),
        (json.dumps({**GOOD, "more": 1}), ["output_json.more"]),
        (json.dumps({"label": "ham"}), ["output_json.score", "output_json.tags"]),
        (json.dumps({**GOOD, "why": "a\x00b"}), ["output_json.why"]),
        (json.dumps({**GOOD, "tags": ["\ud800"]}), ["output_json.tags"]),
        (json.dumps({**GOOD, "\ud800": 1}), ["output_json.\ufffd"]),
    ],
)
def test_a_bad_answer_says_where(text: str, fields: list[str]) -> None:
    with pytest.raises(InvalidOutput) as raised:
        OUTPUTS.parse(text)
    assert [error.field for error in raised.value.fields] == fields


def test_the_faults_of_a_hopeless_answer_are_not_all_told() -> None:
    many = json.dumps({**GOOD, **{f"key{number}": 1 for number in range(5000)}})
    with pytest.raises(InvalidOutput) as raised:
        OUTPUTS.parse(many)
    assert len(raised.value.fields) == 20
