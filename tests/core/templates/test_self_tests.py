"""The tests that a template carries: each expectation can pass, and each can fail."""

import pytest

from llm_service.adapters.prompty.parser import parse_prompty
from llm_service.core.templates.model import Expected, TemplateTest
from llm_service.core.templates.self_tests import failures

TEMPLATE = parse_prompty(
    "t_v1",
    """---
name: T
inputs:
  - {name: input, kind: string, required: true, maxLength: 5}
  - {name: tone, kind: string, enumValues: [soft, loud], default: soft}
outputs:
  - {name: label, kind: string, enumValues: [a, b]}
---
system:
Be {{ tone }}.

user:
Say {{ input }}
""",
    default_max_chars=100,
)


def made(**more: object) -> TemplateTest:
    return TemplateTest(name="x", line=1, inputs=more.pop("inputs", {"input": "Hi"}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "test",
    [
        made(system=Expected("Be soft."), user=Expected("Say Hi\n")),
        made(inputs={"input": "Hi", "tone": "loud"}, system=Expected(contains=("Be", "loud"))),
        made(inputs={"input": "Hi", "tone": "mild"}, refused=("parameters.tone",)),
        made(inputs={"tone": 3, "nope": 1}, refused=("input", "parameters.tone", "parameters.nope")),
        made(inputs={"input": 7}, refused=("input",)),
        made(inputs={"input": "a\x00"}, refused=("input",)),
        made(inputs={}, output='{"label": "a"}', bad_output='{"label": "c"}'),
    ],
)
def test_what_holds_passes(test: TemplateTest) -> None:
    assert failures(TEMPLATE, test) == []


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (made(system=Expected("Be loud.")), "the system message is 'Be soft.', expected 'Be loud.'"),
        (made(user=Expected(contains=("Say", "Bye"))), "does not contain 'Bye'"),
        (made(refused=("input",)), "the inputs are accepted"),
        (made(inputs={"input": "too long"}, refused=("parameters.tone",)), "refused values are input, expected "),
        (made(inputs={"input": "too long"}, user=Expected("x")), "input must be at most 5"),
        (made(inputs={}, output="{}"), "output_json.label is required"),
        (made(inputs={}, bad_output='{"label": "b"}'), "bad_output is accepted"),
    ],
)
def test_what_does_not_hold_says_so(test: TemplateTest, words: str) -> None:
    (failure,) = failures(TEMPLATE, test)
    assert words in failure
