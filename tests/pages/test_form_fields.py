"""The form of a template: each kind of field, its values there and back, its errors."""

import html
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from llm_service.core.templates.properties import Property, PropertyKind
from llm_service.web.pages.forms import as_text, from_text, widget
from tests.support.constants import OWN_PAGE, TEST_PROMPTS

FORM = {
    "template_id": "ticket_v1", "template_shown": "ticket_v1", "input": "Hi", "p.queue": "billing", "p.labels": "bug\r\nidea",
    "p.urgency": "4", "p.budget": "2.5", "p.polite": "true", "p.customer": '{"id": 7}', "p.notes": "",
}  # fmt: skip
NUMBERS = Property("a", PropertyKind.ARRAY, items=Property("", PropertyKind.INTEGER))
WORDS = Property("a", PropertyKind.ARRAY, items=Property("", PropertyKind.STRING))


@pytest.fixture(name="client")
def _client(make_app: Any) -> FlaskClient:
    return make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client()  # type: ignore[no-any-return]


def post(client: FlaskClient, path: str = "/", **changes: str) -> Any:
    return client.post(
        path, data={**FORM, **{name.replace("p_", "p."): value for name, value in changes.items()}}, headers=OWN_PAGE
    )


def field(page: str, name: str) -> str:
    """The block of one field."""
    found = re.search(
        rf'<div class="field">((?:(?!<div class="field">).)*id="field-parameters-{name}".*?</p>\n)\s*</div>',
        page,
        re.DOTALL,
    )
    assert found, name
    return html.unescape(found[1])


def error_of(page: str, name: str) -> str:
    found = re.search(rf'id="error-field-parameters-{name}">(.*?)</p>', page)
    assert found, name
    return html.unescape(found[1])


@pytest.mark.parametrize(
    ("prop", "kind"),
    [
        (Property("a", PropertyKind.STRING, max_length=300), "line"),
        (Property("a", PropertyKind.STRING, max_length=301), "text"),
        (Property("a", PropertyKind.STRING), "text"),
        (Property("a", PropertyKind.STRING, enum=("b",)), "select"),
        (Property("a", PropertyKind.INTEGER, enum=(1, 2)), "select"),
        (Property("a", PropertyKind.INTEGER), "number"),
        (Property("a", PropertyKind.FLOAT, minimum=0), "number"),
        (Property("a", PropertyKind.FLOAT, minimum=0, maximum=1), "number"),
        (Property("a", PropertyKind.FLOAT, minimum=0, maximum=1, required=False, default=0.5), "range"),
        (Property("a", PropertyKind.INTEGER, minimum=0, maximum=5000, required=False, default=1), "number"),
        (Property("a", PropertyKind.BOOLEAN), "checkbox"),
        (WORDS, "list"),
        (Property("a", PropertyKind.ARRAY), "list"),
        (Property("a", PropertyKind.ARRAY, items=Property("", PropertyKind.OBJECT)), "json"),
        (Property("a", PropertyKind.OBJECT), "json"),
    ],
)
def test_the_kind_of_field(prop: Property, kind: str) -> None:
    assert widget(prop) == kind


@pytest.mark.parametrize(
    ("prop", "value", "typed"),
    [
        (WORDS, ["red", "light blue"], "red\nlight blue"),
        (WORDS, ["two\nlines"], '["two\\nlines"]'),
        (WORDS, ["[x] y"], "[x] y"),
        (WORDS, ["[1]"], '["[1]"]'),
        (WORDS, [" x", ""], '[" x", ""]'),
        (NUMBERS, [1, 2], "1\n2"),
        (Property("a", PropertyKind.ARRAY), [{"b": 1}], '[{"b": 1}]'),
        (Property("a", PropertyKind.OBJECT), {"b": "é"}, '{"b": "é"}'),
        (Property("a", PropertyKind.FLOAT), 2.5, "2.5"),
        (Property("a", PropertyKind.STRING), "7", "7"),
    ],
)
def test_values_survive_the_form(prop: Property, value: object, typed: str) -> None:
    assert as_text(prop, value) == typed
    assert from_text(prop, typed) == value


def wish(client: FlaskClient, **changes: str) -> dict[str, Any]:
    """The stored generation after the form is sent as a browser shows it, with these changes."""
    shown = {"p.style": "formal", "p.tags": "a\r\nb"}
    blank = dict.fromkeys(("p.color", "p.size", "p.code", "p.motto", "p.stops", "p.guest", "p.share", "p.price"), "")
    form = {"template_id": "wishes_v1", "template_shown": "wishes_v1", "input": "Hi", **blank, **shown}
    form.update({f"p.{name}": value for name, value in changes.items()})
    response = client.post("/", data=form, headers=OWN_PAGE)
    assert response.status_code == 303, response.text
    return client.get(f"/api/v1/history/{response.headers['Location'].split('from=')[1]}").get_json()  # type: ignore[no-any-return]


def test_an_untouched_form_sends_only_defaults(client: FlaskClient) -> None:
    page = client.get("/?template=wishes").text
    for name in ("color", "size", "share"):
        assert '<option value="">–</option>' in field(page, name)
        assert " selected" not in field(page, name)
    assert wish(client)["parameters"] == {"quick": False, "style": "formal", "tags": ["a", "b"]}


def test_an_emptied_field_is_empty(client: FlaskClient) -> None:
    asked = wish(client, style="", tags="")
    assert (asked["parameters"]["style"], asked["parameters"]["tags"]) == ("", [])


def test_options_and_lines_keep_their_spaces(client: FlaskClient) -> None:
    assert 'value=" blue"' in field(client.get("/?template=wishes").text, "color")
    asked = wish(client, color="a  b", stops="[URGENT] Rome\r\nParis")
    assert asked["parameters"]["color"] == "a  b"
    assert asked["parameters"]["stops"] == ["[URGENT] Rome", "Paris"]


def test_a_text_of_several_lines_gets_a_field_of_several_lines(client: FlaskClient) -> None:
    body = {"input": "Hi", "parameters": {"style": "one\ntwo"}}
    request_id = client.post("/api/v1/templates/wishes/generate", json=body).get_json()["request_id"]
    assert re.search(r"<textarea[^>]*>\none\ntwo</textarea>", field(client.get(f"/?from={request_id}").text, "style"))


def test_a_list_names_its_choices(client: FlaskClient) -> None:
    assert "One per line, of: a, b." in field(client.get("/?template=wishes").text, "tags")


def test_each_kind_of_field_is_drawn(client: FlaskClient) -> None:
    page = client.get("/?template=ticket").text
    assert '<input type="text"' in field(page, "queue")
    assert 'data-max="40"' in field(page, "queue")
    assert 'data-count="field-parameters-queue"' in field(page, "queue")
    assert "<textarea" in field(page, "labels")
    assert "One per line." in field(page, "labels")
    assert 'class="required"' in field(page, "labels")
    slider = field(page, "urgency")
    assert re.search(r'type="range" .* value="3" min="1" max="5" step="1"', slider)
    assert re.search(r'<noscript><input type="number" name="p.urgency" value="3" min="1" max="5"', slider)
    assert 'data-value-of="field-parameters-urgency"' in slider
    assert re.search(r'type="number" .* min="0"', field(page, "budget"))
    assert re.search(r'type="checkbox" .* checked', field(page, "polite"))
    assert "As JSON." in field(page, "customer")
    assert "What else is known." in field(page, "notes")


def test_the_fields_become_parameters(client: FlaskClient) -> None:
    response = post(client)
    assert response.status_code == 303
    request_id = response.headers["Location"].split("from=")[1]
    asked = client.get(f"/api/v1/history/{request_id}").get_json()
    assert asked["parameters"] == {
        "queue": "billing", "labels": ["bug", "idea"], "urgency": 4, "budget": 2.5, "polite": True, "customer": {"id": 7},
    }  # fmt: skip
    again = client.get(f"/?from={request_id}").text
    assert "bug\nidea</textarea>" in field(again, "labels")
    assert 'value="4"' in field(again, "urgency")


def test_errors_are_shown_at_their_fields(client: FlaskClient) -> None:
    response = post(client, p_labels="bug\r\n" + "x" * 21, p_budget="much", p_customer='{"id": 0, "x": 1}', p_queue="A")
    page = response.text
    assert response.status_code == 422
    assert error_of(page, "labels") == "Item 2: must be at most 20 characters (has 21)"
    assert error_of(page, "budget") == "Must be a number"
    assert error_of(page, "customer") == "X: is not an allowed key; id: must be at least 1"
    assert error_of(page, "queue") == "Must look like billing"
    assert error_of(page, "urgency") == ""
    assert 'value="much"' in field(page, "budget")
    assert 'aria-invalid="true"' in field(page, "budget")


def test_the_example_fills_the_form(client: FlaskClient) -> None:
    page = client.get("/?template=ticket&example=1").text
    assert "My invoice of May is wrong." in page
    assert "billing\nbug</textarea>" in field(page, "labels")
    assert " checked" not in field(page, "polite")


def test_the_preview_without_javascript(client: FlaskClient) -> None:
    page = post(client, preview="1").text
    assert '<details class="fold" id="preview-fold" open>' in page
    assert "Choose from: bug, idea." in page
    assert "(estimate; the provider's count is final)" in page
    assert "at most 200 tokens" in page
    assert client.get("/api/v1/history").get_json()["items"] == []
    broken = post(client, preview="1", p_budget="").text
    assert "Fix these first:" in broken
    assert '<a href="#field-parameters-budget">Enter a number in &#34;Budget&#34;.</a>' in broken


def test_the_preview_fragment(client: FlaskClient) -> None:
    fragment = post(client, "/generate/preview")
    assert fragment.status_code == 200
    assert "<html" not in fragment.text
    assert "echo" in fragment.text
    post(client)
    assert "cache ($0)" in post(client, "/generate/preview").text
    assert "cache ($0)" not in post(client, "/generate/preview", fresh="1").text


def test_an_answer_in_json_is_shown_as_values_beside_its_text(client: FlaskClient) -> None:
    address = post(client).headers["Location"]
    request_id = address.split("from=")[1]
    for page in (client.get(address).text, client.get(f"/history/{request_id}").text):
        assert "<dt>summary</dt>" in page
        assert '<th scope="col">minutes</th>' in page
        assert re.search(r"<td><span[^>]*>Check the invoice</span>\s*</td>\s*<td>\s*15\s*</td>", page)
        assert "Raw output" in page
        assert "&#34;minutes&#34;: 15" in page


def test_model_text_inside_json_is_text(make_app: Any, tmp_path: Any) -> None:
    hostile = "<script>alert(1)</script><a hx-get='/x'>"
    (tmp_path / "odd_v1.prompty").write_text(
        "---\nname: Odd\ninputs:\n  - {name: input, kind: string, required: true}\noutputs:\n"
        f'  - {{name: said, kind: string, example: "{hostile}"}}\n---\nuser:\n{{{{ input }}}}\n'
    )
    client = make_app(APP_PROMPTS_DIR=str(tmp_path)).test_client()
    address = client.post("/", data={"template_id": "odd_v1", "input": "Hi"}, headers=OWN_PAGE).headers["Location"]
    page = client.get(address).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
