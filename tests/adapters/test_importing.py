"""Public prompt files of both versions of the format, in the forms that people publish.

Longer than other modules: each form is a file in the text of a test.
"""

import pytest

from llm_service.adapters.prompty.importing.faults import ImportRefused
from llm_service.adapters.prompty.importing.importer import Imported, import_prompty
from llm_service.adapters.prompty.parser import parse_prompty
from llm_service.core.templates.model import Template

FIRST_VERSION = """---
name: Shop assistant
description: Answers customers.
authors:
  - somebody
model:
  api: chat
  configuration:
    type: azure_openai
    azure_deployment: gpt-35-turbo
  parameters:
    max_tokens: 128
    temperature: 0.2
    frequency_penalty: 0.5
inputs:
  firstName:
    type: string
    default: Jane
  question:
    type: string
  unused: a value
sample:
  question: Which tent is light?
---
system:
You help {{firstName}}, who likes {{ firstName | upper }} and "firstName".

user:
{{question}}
"""
SECOND_VERSION = """---
name: Shop assistant
metadata:
  tags: [shop]
model:
  id: gpt-4
  apiType: chat
  options:
    temperature: 0.7
    maxOutputTokens: 1000
    topP: 0.9
inputSchema:
  properties:
    - name: firstName
      kind: string
      default: Jane
    - name: question
      kind: string
template:
  format:
    kind: jinja2
---
system:
You help {{firstName}}.

user:
{{question}}
"""


def imported(text: str, *, main: str | None = None, answer: str | None = None, stem: str = "shop") -> Imported:
    return import_prompty(stem, text, main=main, choose=lambda _: answer)


def template(text: str, *, main: str | None = None) -> Template:
    made = imported(text, main=main)
    return parse_prompty(made.template_id, made.text, default_max_chars=5000)


def rendered(text: str, *, main: str | None = None) -> list[str]:
    made = template(text, main=main)
    example = made.example()
    return [message.text for message in made.render(example["input"], example.get("parameters", {}))]


def faults(text: str, **how: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ImportRefused) as refused:
        imported(text, **how)
    return [(fault.line, fault.message, fault.remedy) for fault in refused.value.faults]


def test_a_file_of_the_first_version_becomes_one_of_ours() -> None:
    assert rendered(FIRST_VERSION) == ['You help Jane, who likes JANE and "firstName".', "Which tent is light?"]
    made = template(FIRST_VERSION)
    assert made.options == {"max_output_tokens": 128, "temperature": 0.2}
    assert [declared.name for declared in made.inputs] == ["input", "first_name"]
    assert (made.name, made.description, made.model) == ("Shop assistant", "Answers customers.", None)


def test_a_file_of_the_second_version_becomes_one_of_ours() -> None:
    assert rendered(SECOND_VERSION) == ["You help Jane.", "text"]
    assert template(SECOND_VERSION).options == {"max_output_tokens": 1000, "temperature": 0.7, "top_p": 0.9}


def test_it_lists_what_was_dropped_and_changed() -> None:
    notes = imported(FIRST_VERSION).notes
    assert any("authors" in note for note in notes)
    assert any("model.configuration" in note for note in notes)
    assert any("option frequency_penalty" in note for note in notes)
    assert any("line 21: input unused" in note for note in notes)
    assert "changed: input firstName is now first_name" in notes
    assert any("model gpt-4" in note for note in imported(SECOND_VERSION).notes)


def test_undeclared_variables_get_the_kind_that_the_text_needs() -> None:
    text = """---
name: Report
---
system:
{% for order in customer.orders %}{{ order.title }};{% endfor %}{% for item in documents %}[{{ item.id }}]{% endfor %}
user:
{{ question }} {{ customer.firstName }}
"""
    made = template(text)
    kinds = {declared.name: declared.kind for declared in made.inputs}
    assert kinds == {"input": "string", "customer": "object", "documents": "array"}
    assert rendered(text) == ["title;[id]", "text firstName"]


def test_values_in_place_of_declarations_give_the_kinds() -> None:
    text = (
        "---\nname: T\ninputs:\n  count: 3\n  share: 0.5\n  strict: true\n  history: []\n  question: Why?\n---\nuser:\n"
    )
    text += "{{question}} {{count}} {{share}} {{strict}} {{history}}\n"
    kinds = {declared.name: declared.kind for declared in template(text).inputs}
    assert kinds == {"input": "string", "count": "integer", "share": "float", "strict": "boolean", "history": "array"}
    assert rendered(text) == ["Why? 3 0.5 True []"]


@pytest.mark.parametrize(
    "text",
    [
        "\n\n---\nname: T\n---\nuser:\n{{q}}\n",
        '---\nname: T\n---\nuser[name="Ann"]:\n{{q}}\n',
        "---\nname: T\n---\n# system:\nBe brief.\n# User:\n{{q}}\n",
        "---\nname: T\n---\ndeveloper:\nBe brief.\nuser:\n{{q}}\n",
        "---\nname: T\n---\n{{q}}\n",
        "---\nname: T\n---\nsystem:\n{{q}}\n",
        "---\nmodel: gpt-4o-mini\n---\nuser:\n{{q}}\n",
        "user:\n{{q}}\n",
        "---\r\nname: T\r\n---\r\nuser:\r\n{{q}}\r\n",
        "---\nname: T\ntemplate: mustache\n---\nuser:\n{{! note }}{{{ q }}}\n",
        "---\nname: T\nmodel:\n  api: completion\n---\nWrite about {{q}}.\n",
    ],
)
def test_forms_that_our_own_files_may_not_have(text: str) -> None:
    assert "text" in rendered(text)[-1]


def test_input_is_the_named_variable_the_only_text_or_the_answer_to_a_question() -> None:
    text = "---\nname: T\n---\nuser:\n{{ article }} {{ feedback }}\n"
    assert "{{ input }} {{ feedback }}" in imported(text, main="article").text
    assert "{{ article }} {{ input }}" in imported(text, answer="feedback").text
    (fault,) = faults(text)
    assert fault == (5, "several inputs could be the main text: article, feedback", "choose one with --input NAME")
    # An own `input` is meant.
    assert "{{ article }} {{ input }}" in imported(text.replace("feedback", "input")).text
    # A name that the file does not have says nothing about it.
    assert "{{ input }}" in imported("---\nname: T\n---\nuser:\n{{ topic }}\n", main="question").text


def test_a_default_in_the_text_makes_an_input_optional() -> None:
    text = "---\nname: T\n---\nuser:\n{{ q }} {{ tone | default('calm') }} {{ count | d(3) }}\n"
    made = template(text)
    found = {declared.name: (declared.kind, declared.required, declared.default) for declared in made.inputs}
    assert found == {
        "input": ("string", True, None),
        "tone": ("string", False, "calm"),
        "count": ("integer", False, 3),
    }
    assert [message.text for message in made.render("Hi", {})] == ["Hi calm 3"]


def test_names_that_meet_stay_apart() -> None:
    text = "---\nname: T\n---\nuser:\n{{ q }} {{ firstName }} {{ first_name }} {{ Class }} {{ input.x }}\n"
    made = template(text, main="q")
    assert [declared.name for declared in made.inputs] == ["input", "first_name", "first_name_2", "class", "the_input"]


def test_only_variables_are_renamed() -> None:
    text = "---\nname: T\n---\nuser:\nq {{ q }} {{ item.q }} {{ 'q' }} {{ q | replace('q', 'p') }}{% if q %} q{% endif %}\n"
    assert (
        "q {{ input }} {{ item.q }} {{ 'q' }} {{ input | replace('q', 'p') }}{% if input %} q{% endif %}"
        in imported(text).text
    )


def test_all_faults_are_told_with_line_and_remedy() -> None:
    text = """---
name: T
model:
  api: embedding
inputs:
  history:
    type: thread
---
user:
{% block a %}{% endblock %}
assistant:
Yes.
"""
    found = faults(text)
    assert [line for line, _, _ in found] == [4, 7, 10, 11]
    assert all(message and remedy for _, message, remedy in found)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("---\nname: [\n---\nuser:\n{{q}}\n", 3, "not valid YAML"),
        ("---\nname: T\n---\nuser:\n{{q}}\nuser:\n{{q}}\n", 6, "appears twice"),
        ("---\nname: T\n---\nhello\nuser:\n{{q}}\n", 4, "before the first section"),
        ("---\nname: T\n---\nuser:\n{{ q\n", 5, ""),
        ("---\nname: T\ntemplate: mustache\n---\nuser:\n{{#items}}{{q}}{{/items}}\n", 6, "Mustache"),
        ("---\nname: T\ntemplate: liquid\n---\nuser:\n{{q}}\n", 3, "liquid"),
        ("---\nname: T\n---\nuser:\n{{ q | shuffle }}\n", 5, "shuffle"),
        ("---\nname: T\n---\n", 0, "no text"),
        ("---\nname: T\n---\nuser:\n{{ a[b] }} {{ q }}\n", 0, "rendered"),
    ],
)
def test_what_cannot_be_imported(text: str, line: int, part: str) -> None:
    found = faults(text, main="q")
    assert (found[0][0], part in found[0][1]) == (line, True), found


def test_comments_and_loops_that_write_roles_are_warned_of() -> None:
    text = (
        "---\nname: T\n---\nuser:\n{# why #}{{q}}\n{% for m in history %}\n{{m.role}}:\n{{m.content}}\n{% endfor %}\n"
    )
    assert [warning[:6] for warning in imported(text, main="q").warnings] == ["line 5", "line 7"]


@pytest.mark.parametrize(
    ("stem", "template_id"),
    [
        ("Shop Chat", "shop_chat_v1"),
        ("chat_v3", "chat_v3"),
        ("2-eval", "prompt_2_eval_v1"),
        ("x" * 90, "x" * 60 + "_v1"),
        ("é", "prompt_v1"),
    ],
)
def test_the_file_name_becomes_an_id(stem: str, template_id: str) -> None:
    assert imported("user:\n{{q}}\n", stem=stem).template_id == template_id


def test_outputs_are_kept_where_the_file_asks_for_json() -> None:
    text = """---
name: T
model:
  parameters:
    response_format: {type: json_object}
outputs:
  score:
    type: int
  why:
    type: string
  details:
    type: object
---
user:
{{q}}
"""
    outputs = template(text).outputs
    assert outputs is not None
    assert [(declared.name, declared.kind) for declared in outputs.properties] == [
        ("score", "integer"),
        ("why", "string"),
    ]
    assert template(text.replace("response_format", "other_format")).outputs is None


def test_all_faults_of_a_section_and_of_the_front_matter_are_told() -> None:
    text = """---
name: &title T
description: *title
again: *title
model:
  parameters: {temperature: 5}
---
user:
{% macro a() %}{% endmacro %}
{{ q.upper() }}
![a cat](cat.png) {{ q }}
"""
    assert [line for line, _, _ in faults(text)] == [3, 4, 6, 9, 10, 11]


def test_a_front_matter_without_an_end_is_named() -> None:
    assert faults("---\nname: T\nuser:\n{{q}}\n") == [(1, "the front matter has no end", "write a line --- below it")]


def test_dates_of_keys_that_are_dropped_are_no_faults() -> None:
    made = imported("---\nname: 2024-05-06\nversion: 2024-05-06\n---\nuser:\n{{q}}\n")
    assert "name: '2024-05-06'" in made.text
    assert "dropped: line 3: version" in made.notes


def test_values_that_stand_elsewhere_are_not_taken_for_texts() -> None:
    made = imported(
        """---
name: T
inputs:
  first: ${env:USER}
  second: {type: string, default: "${file:second.txt}", title: Second}
  third: {type: integer, default: three}
  fourth: {type: string, enum: [a, b], default: a}
---
system:
{{first}} {{second}} {{third}} {{fourth}}
user:
{{q}}
""",
        main="q",
    )
    assert "${" not in made.text
    assert "enumValues" in made.text
    assert [note.split(" (")[0] for note in made.notes if "dropped" in note] == [
        "dropped: line 4: inputs.first ${env:USER}",
        "dropped: line 5: inputs.second.default ${file:second.txt}",
        "dropped: line 5: inputs.second.title",
        "dropped: line 6: the default of third, which is no integer",
    ]


def test_a_named_variable_that_the_file_does_not_have_is_a_warning() -> None:
    text = "---\nname: T\n---\nuser:\n{{ topic }}\n"
    assert imported(text, main="question").warnings == ("the text uses no text question: the main text is topic",)
    assert imported(text, main="topic").warnings == ()


def test_declarations_that_contradict_themselves_are_told_with_their_lines() -> None:
    text = """---
name: T
inputs:
  tone: {type: string, enum: [a, b], default: c}
  size: {type: integer, minimum: 5, maximum: 1}
---
user:
{{q}} {{tone}} {{size}}
"""
    assert [(line, message.split(":")[0]) for line, message, _ in faults(text, main="q")] == [
        (4, "input tone"),
        (5, "input size"),
    ]


def test_what_the_text_does_with_a_variable_gives_its_kind() -> None:
    made = template(
        """---
name: T
sample:
  customer: {name: Ann}
---
system:
{% if vip %}VIP{% endif %}{% if age >= 18 %}adult{% endif %}{% if strict == true %}strict{% endif %}{{ limit + 1 }}
{% for m in history %}{{ m["role"] }}: {{ m['content'] }}{% endfor %} {{ docs[0].title }}{{ docs[2].title }} {{ tags | join(", ") }}
{{ customer.name }}{% if customer.orders %}, who orders{% endif %}{% if mood == "good" %}!{% endif %}
{% if note %}{{ note }}{% endif %}{% if not on and more %}{% endif %}{% if size | length > 3 %}{% endif %}
{% if form in ["a", "b"] %}{% endif %}{{ "x" if short else "y" }}
user:
{{q}}
""",
        main="q",
    )
    kinds = {declared.name: declared.kind.value for declared in made.inputs}
    assert kinds == {
        "input": "string",
        "vip": "boolean",
        "age": "integer",
        "strict": "boolean",
        "limit": "integer",
        "history": "array",
        "docs": "array",
        "tags": "array",
        "customer": "object",
        "mood": "string",
        "note": "string",
        "on": "boolean",
        "more": "boolean",
        "size": "string",
        "form": "string",
        "short": "boolean",
    }


def test_a_variable_of_conditions_is_not_the_main_text() -> None:
    assert "{{ input }}" in imported("---\nname: T\n---\nuser:\n{% if brief %}Be brief.{% endif %} {{ q }}\n").text
