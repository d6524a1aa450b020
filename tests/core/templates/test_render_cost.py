"""What a section may do while it is rendered: no few lines fill the memory or run for long."""

import tracemalloc

import pytest

from llm_service.core.errors import InvalidInput
from llm_service.core.templates.render_cost import MAX_COST, MAX_MESSAGE_CHARS
from llm_service.core.templates.rendering import Section, SectionError
from tests.support.effort import turns

INPUT = "x" * 100_000
LONG = "{% set a = input | replace('x', '" + "y" * 40 + "') %}"
BOMBS = {
    "joined texts": "{% set a = input ~ '' %}" + "{% set a = a ~ a %}" * 60 + "{{ a[0] }}",
    "joined texts in one line": "{{ " + " ~ ".join(["input"] * 2000) + " }}",
    "added texts": "{% set a = input %}" + "{% set a = a + a %}" * 60 + "{{ a[0] }}",
    "lists of lists": "{% set a = [input] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "tuples of tuples": "{% set a = (input, 1) %}" + "{% set a = (a, a) %}" * 60 + "{{ [a, a] | unique | list }}",
    "equal lists of lists": "{% set a = ['x'] %}{% set b = ['x'] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 60 + "{{ a == b }}",
    "a long list of lists": "{% set a = [input] %}" + ("{% set a = [" + "a, " * 1000 + "] %}") * 9 + "{{ a | length }}",
    "added lists": "{% set a = [input] %}" + "{% set a = a + a %}" * 60 + "{{ a | length }}",
    "a list in the output": LONG + "{{ [" + "a, " * 1000 + "] }}",
    "replaced letters": "{{ input | replace('x', '" + "y" * 5000 + "') }}",
    "replaced nothing": "{{ input | replace('', '" + "y" * 5000 + "') }}",
    "joined letters": "{{ input | join('" + "y" * 5000 + "') }}",
    "indented lines": "{{ input | replace('x', '\n\n\n\n\n\n\n\n\n\na') | indent(100, blank=true) | length }}",
    "lines indented by a text": "{{ input | replace('x', '\na') | indent('" + "y" * 5000 + "') | length }}",
    "JSON indented by a text": "{{ input | list | tojson(indent='" + "y" * 5000 + "') | length }}",
    "slices": LONG + "".join(f"{{% set b{number} = a[1:] %}}" for number in range(1000)),
    "filtered texts": LONG + "".join(f"{{% set b{number} = a | upper %}}" for number in range(1000)),
    "long loops": LONG + "{% for c in a %}{% if c == 'z' %}a{% endif %}{% endfor %}",
    "loops over the reverse": LONG + "{% for c in a | reverse %}{% if loop.first %}a{% endif %}{% endfor %}",
    "comparisons in a loop": "{% set a = input ~ '' %}{% for c in input %}{% if a == input %}a{% endif %}{% endfor %}",
    "searches in a loop": "{% for c in input %}{% if 'zz' in input %}a{% endif %}{% endfor %}",
    "counts in a loop": "{% for c in input %}{% if input | wordcount > 9 %}a{% endif %}{% endfor %}",
    "tests in a loop": "{% for c in input %}{% if input is lower and c is in(input) %}{% endif %}{% endfor %}",
    "a message": "{% for c in input %}{{ input }}{% endfor %}",
}  # fmt: skip


def refusal(section: Section) -> str:
    with pytest.raises(InvalidInput) as raised:
        section.render({"input": INPUT})
    return str(raised.value.fields[0])


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_no_few_lines_fill_the_memory_or_run_for_long(text: str) -> None:
    section = Section(text)
    assert "more than 4,000,000 characters" in refusal(section)
    assert turns(lambda: refusal(section), runs=1) < 60_000_000, "a second"
    tracemalloc.start()
    refusal(section)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * MAX_COST


def test_a_section_that_is_within_its_bounds_is_rendered() -> None:
    text = "x" * (MAX_MESSAGE_CHARS // 2)
    assert (
        Section("{{ input | trim | upper }}{{ (input ~ '')[:-1] }}").render({"input": text}) == text.upper() + text[1:]
    )
    lines = [f"line {number}" for number in range(20_000)]
    rendered = Section("{% for line in lines if line != 'line 0' %}{{ loop.index }} {{ line }}\n{% endfor %}").render(
        {"lines": lines}
    )
    assert rendered.count("\n") == 19_999


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ a ~ b ~ 1 }}", "x<['p', 'q']1"),
        ("{{ b | join(', ') }} {{ people | join('/', attribute='name') }}", "p, q Ann/Bo"),
        ("{{ a | replace('<', '&', 1) }}{{ 'aaa' | replace('a', 'b', 2) }}", "x&bba"),
        ("{{ 'a\n\nb' | indent(2) }}|{{ 'a\nb' | indent('> ', first=true) }}", "a\n\n  b|> a\n> b"),
        ("{{ b | tojson }} {{ people[0] | tojson(indent=1) }}", '["p", "q"] {\n "name": "Ann"\n}'),
        ("{{ missing | default('none') }}{{ missing is defined }}", "noneFalse"),
        ("{% for name, value in people[1] | items %}{{ name }}={{ value }}{% endfor %}", "name=Bo"),
        ("{{ 'p' in b and b == ['p', 'q'] and a is string and 2 is in([1, 2]) }}", "True"),
        ("{% for x in [a, 'y'] | reverse %}{{ loop.length }}{{ x }}{% endfor %}", "2y2x<"),
        ("{{ [1, 2][1] + 3 }}{{ b[1:] + ['r'] }}{{ a[:1] }}", "5['q', 'r']x"),
        ("{{ ('<' | escape) ~ '<' }}", "&lt;<"),
    ],
)
def test_charged_operations_do_what_jinja_does(text: str, rendered: str) -> None:
    values = {"a": "x<", "b": ["p", "q"], "people": [{"name": "Ann"}, {"name": "Bo"}]}
    assert Section(text).render(values) == rendered


@pytest.mark.parametrize("text", ["{{ 5 | indent(2) }}", "{{ 5 | join }}", "{{ input | tojson(indent=1.5) }}", "{{ missing ~ 'a' }}", "{{ missing + 1 }}", "{% for x in 5 %}{% endfor %}"])  # fmt: skip
def test_a_value_that_does_not_fit_is_still_the_callers_fault(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be rendered"):
        Section(text).render({"input": ["x"]})


def test_deep_lists_are_the_callers_fault() -> None:
    with pytest.raises(InvalidInput, match="RecursionError"):
        Section("{% set a = [1] %}" + "{% set a = [a] %}" * 980 + "{{ a }}").render({})


@pytest.mark.parametrize("text", ["{{ a | tojson(indent=9) }}", "{{ a | indent(101) }}", "{{ a | truncate(100001) }}"])
def test_large_numbers_are_refused_at_once(text: str) -> None:
    with pytest.raises(SectionError, match="number above"):
        Section(text)
