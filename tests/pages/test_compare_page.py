"""Comparing answers: the form, what begins and what does not, stored columns, and their difference."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from llm_service.app import services_of
from llm_service.core.access.caller import Allowance
from tests.support.constants import OWN_PAGE, ROOT
from tests.support.keys import make_key, signed_in, token_of
from tests.support.requests import GENERATE
from tests.support.upstream import Upstream

SOURCE = (ROOT / "prompts" / "summarize_v1.prompty").read_text()
TWO = {"template_1": "basic_chat_v1", "template_2": "basic_chat_v1", "model_2": "echo-1000"}


@pytest.fixture(name="app")
def _app(make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    models = "normal,echo-1000,fault-401,tokens-100-50"
    return make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-x", OPENAI_MODEL="normal", APP_MODELS=models)


def compare(client: FlaskClient, **fields: str) -> TestResponse:
    return client.post("/compare", data={"input": "Hello", "p.tone": "simple", **TWO, **fields}, headers=OWN_PAGE)


def rows(client: FlaskClient) -> list[dict[str, Any]]:
    return client.get("/api/v1/history").get_json()["items"]  # type: ignore[no-any-return]


def ids_of(answer: TestResponse) -> list[str]:
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].partition("ids=")[2].split(",")


def test_all_columns_begin_and_are_shown_side_by_side(client: FlaskClient) -> None:
    answer = compare(client, template_3="summarize_v1")
    first, second, third = ids_of(answer)
    page = client.get(answer.headers["Location"]).text
    for words in (
        "1. basic_chat_v1 · normal", "2. basic_chat_v1 · echo-1000", "3. summarize_v1 · normal",
        'id="output-1"', 'id="output-2"', 'id="output-3"', "Answer to: Hello", "Column 3</option>",
    ):  # fmt: skip
        assert words in page, words
    assert 'id="output"' not in page
    assert {row["request_id"]: row["model"] for row in rows(client)} == {
        first: "normal", second: "echo-1000", third: "normal"
    }  # fmt: skip
    assert client.get(answer.headers["Location"].replace(third, "nope")).status_code == 200
    assert len(rows(client)) == 3, "a reload begins nothing"


def test_the_same_form_sent_twice_pays_once(client: FlaskClient, upstream: Upstream) -> None:
    (form_id,) = re.findall('name="submission" value="([^"]+)"', client.get("/compare").text)
    before = len(upstream.calls)
    first, again = (ids_of(compare(client, submission=form_id, fresh="1")) for _ in range(2))
    assert first == again
    assert len(upstream.calls) == before + 2
    edited = ids_of(compare(client, submission=form_id, fresh="1", input="Hello again"))
    assert set(edited) & set(first) == set()
    assert len(rows(client)) == 4


def test_equal_columns_without_the_cache_are_two_answers(client: FlaskClient, upstream: Upstream) -> None:
    before = len(upstream.calls)
    first, second = ids_of(compare(client, model_2="", fresh="1"))
    assert first != second
    assert len(upstream.calls) == before + 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": " "}, "Enter some text in &#34;Input&#34;."),
        ({"template_2": ""}, "Template 2: choose a template. A comparison needs two columns."),
        ({"template_2": "translate_v1"}, "Enter some text in &#34;Target language&#34;."),
        ({"model_2": "nope"}, 'href="#field-model_2">Model 2: must be one of'),
        ({"template_2": "gone_v1"}, 'href="#field-template_2">Template 2: '),
        ({"template_2": "basic_chat_v1@000000000000"}, "is not stored"),
        ({"p.tone": "rude"}, "must be one of: neutral"),
    ],
)
def test_nothing_begins_if_a_column_cannot(client: FlaskClient, fields: dict[str, str], words: str) -> None:
    answer = compare(client, **fields)
    assert answer.status_code == 422
    assert "Nothing was started" in answer.text
    assert words in answer.text
    assert rows(client) == []
    if fields.get("input") is None:
        assert ">\nHello</textarea>" in answer.text


def test_a_column_that_fails_is_shown_beside_the_others(client: FlaskClient) -> None:
    page = client.get(compare(client, model_2="fault-401").headers["Location"]).text
    assert "Answer to: Hello" in page
    assert 'href="/problems/upstream-auth"' in page
    assert "Shown when two columns have an answer." in page


def test_a_column_that_a_limit_refuses_says_so(app: Flask) -> None:
    text, _ = make_key(app, "alice", ("generate", "history"), allowance=Allowance(generations_per_minute=1))
    browser = signed_in(app, text)
    answer = compare(browser, csrf_token=token_of(browser), model_2="echo-1000")
    first, refused = ids_of(answer)
    assert refused.startswith("rate-limited:")
    page = browser.get(answer.headers["Location"]).text
    assert "2. basic_chat_v1 · echo-1000" in page
    assert 'href="/problems/rate-limited"' in page
    assert f"/history/{first}" in page
    assert len(rows(browser)) == 1


def test_a_script_gets_the_address_or_the_form_again(client: FlaskClient) -> None:
    by_script = {**OWN_PAGE, "HX-Request": "true"}
    begun = client.post("/compare", data={"input": "Hello", **TWO}, headers=by_script)
    assert begun.headers["HX-Redirect"].startswith("/compare?ids=")
    refused = client.post("/compare", data={"input": "", **TWO}, headers=by_script)
    assert (refused.status_code, refused.headers["HX-Retarget"]) == (422, "#setup-body")
    assert "Nothing was started" in refused.text
    assert "<html" not in refused.text
    assert 'id="compare-form"' in refused.text


def test_when_all_columns_are_refused_the_form_stays(app: Flask) -> None:
    browser = signed_in(app, make_key(app, "alice", ("generate", "history"), allowance=Allowance(tokens_per_day=1))[0])
    answer = compare(browser, csrf_token=token_of(browser))
    assert answer.status_code == 402
    assert "Nothing was started" in answer.text
    assert ">\nHello</textarea>" in answer.text


def test_a_column_gets_the_values_that_its_template_has(client: FlaskClient) -> None:
    fields = {"template_2": "translate_v1", "model_2": "", "p.target_language": "German"}
    first, second = ids_of(compare(client, **fields))
    parameters = [client.get(f"/api/v1/history/{each}").get_json()["parameters"] for each in (first, second)]
    assert parameters[0] == {"tone": "simple"}
    assert parameters[1]["target_language"] == "German"
    assert "tone" not in parameters[1]
    page = client.get(f"/compare?ids={first},{second}").text
    assert 'id="parameters-2"' in page
    assert "The inputs of these generations differ." not in page


def test_the_form_has_the_fields_of_all_its_templates(client: FlaskClient) -> None:
    data = {"template_1": "basic_chat_v1", "template_2": "translate_v1", "input": "Typed", "p.tone": "simple"}
    for path, more in (("/compare/form", {}), ("/compare", {"choose": "1"})):
        answer = client.post(path, data={**data, **more}, headers=OWN_PAGE)
        assert answer.status_code == 200
        assert ">\nTyped</textarea>" in answer.text
        assert '<option value="simple" selected>' in answer.text
        assert 'name="p.target_language"' in answer.text
    assert rows(client) == []


def test_it_begins_with_a_stored_request_and_another_model(client: FlaskClient) -> None:
    asked = {"template_id": "basic_chat_v1", "input": "From <here>", "parameters": {"tone": "simple"}}
    made = client.post(GENERATE, json={**asked, "model": "echo-1000"}).get_json()
    page = client.get(f"/compare?from={made['request_id']}").text
    assert ">\nFrom &lt;here&gt;</textarea>" in page
    first, second = (re.search(f'id="field-model_{n}".*?</select>', page, re.S) for n in (1, 2))
    assert first is not None
    assert second is not None
    assert "<option selected>echo-1000</option>" in first[0]
    assert " selected>" not in second[0], "the default model"


def test_options_go_to_the_templates_that_allow_them(client: FlaskClient) -> None:
    ids = ids_of(
        compare(client, template_2="extract_fields_v1", model_2="", **{"o.temperature": "0.5", "p.fields": "name"})
    )
    options = [client.get(f"/api/v1/history/{each}").get_json()["options"] for each in ids]
    assert options[0] == {"temperature": 0.5}
    assert not options[1]
    assert 'name="o.temperature" value="0.5"' in client.get("/compare?ids=" + ",".join(ids)).text


def test_an_old_revision_can_be_run_again(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "summarize_v1.prompty").write_text(SOURCE)
    app = make_app(APP_PROMPTS_DIR=str(folder))
    client = app.test_client()
    old = client.post(GENERATE, json={"template_id": "summarize_v1", "input": "Hi"}).get_json()["template_revision"]
    (folder / "summarize_v1.prompty").write_text(SOURCE.replace("system:\n", "system:\nBegin with ABC.\n"))
    services_of(app).template_registry.refresh()
    page = client.get("/compare").text
    assert f'<option value="summarize_v1@{old}" selected>Summarize, revision {old}</option>' in page
    fields = {"template_1": "summarize_v1", "template_2": f"summarize_v1@{old}", "model_2": ""}
    ids = ids_of(compare(client, **fields))
    stored = [client.get(f"/api/v1/history/{each}").get_json() for each in ids]
    assert stored[1]["template_revision"] == old != stored[0]["template_revision"]
    assert ["Begin with ABC." in each["system_prompt"] for each in stored] == [True, False]
    page = client.get("/compare?ids=" + ",".join(ids)).text
    assert f"2. summarize_v1 · {old}" in page
    assert f'<option value="summarize_v1@{old}" selected>' in page


def test_two_answers_are_compared_word_by_word(client: FlaskClient) -> None:
    ids = [client.post(GENERATE, json={"template_id": "basic_chat_v1", "input": text}).get_json()["request_id"]
           for text in ("a red <i>fox</i> runs", "a blue <i>fox</i> runs", "else")]  # fmt: skip
    page = client.get("/compare?ids=" + ",".join(ids)).text
    assert "The inputs of these generations differ." in page
    assert "<del>red</del> &lt;i&gt;fox" in page
    assert "<ins>blue</ins> &lt;i&gt;fox" in page
    other = client.get(f"/compare/difference?ids={','.join(ids)}&first=1&second=3").text
    assert "Column 3</span> (1 line)" in other
    assert "<html" not in other
    assert f'name="ids" value="{",".join(ids)}"' in other


@pytest.mark.parametrize(
    "query", ["?ids=", "?ids=nope", "?ids=,,,", "?from=nope", "?ids=a:b", "?ids=x:%00:y", "?first=x&ids=1"]
)
def test_addresses_that_mean_nothing_show_the_form(client: FlaskClient, query: str) -> None:
    answer = client.get("/compare" + query)
    assert answer.status_code == 200
    assert 'id="compare-form"' in answer.text


def test_a_deleted_generation_is_said_in_words_of_a_page(client: FlaskClient) -> None:
    first, second = ids_of(compare(client))
    client.delete(f"/api/v1/history/{second}")
    page = client.get(f"/compare?ids={first},{second}").text
    assert "Generation not found" in page
    assert "It may have been deleted." in page
    assert "/docs all API endpoints" not in page


def test_generations_of_others_are_not_there(app: Flask) -> None:
    alice, bob = (signed_in(app, make_key(app, name, ("generate", "history"))[0]) for name in ("alice", "bob"))
    location = compare(alice, csrf_token=token_of(alice)).headers["Location"]
    page = bob.get(location).text
    assert "Answer to" not in page
    assert "There is no generation with this id in your history." in page
    assert bob.get(location.replace("/compare", "/compare/difference")).status_code == 200
    one_id = location.partition("ids=")[2].split(",")[0]
    assert bob.get(f"/compare/{one_id}/events").status_code == 404


@pytest.mark.parametrize("history", ["metadata", "off"])
def test_without_stored_texts_the_answers_come_at_once(make_app: Callable[..., Flask], history: str) -> None:
    client = make_app(APP_HISTORY=history).test_client()
    answer = compare(client, model_2="", template_2="summarize_v1")
    assert answer.status_code == 200
    assert "1. basic_chat_v1" in answer.text
    assert 'id="output-2"' in answer.text
    assert "Difference" in answer.text


def test_a_fault_of_several_columns_is_said_once(client: FlaskClient) -> None:
    page = compare(client, **{"o.temperature": "9"}).text
    assert re.findall(r'class="field-error"[^>]*>([^<]+)', page) == ["Must be at most 2"]


def test_a_key_that_may_not_generate_is_not_led_there(app: Flask) -> None:
    ids: list[str] = []
    for scopes in (("generate", "history"), ("history",)):
        client = signed_in(app, make_key(app, "alice", scopes)[0])
        if not ids:
            client.post("/", data={"input": "Hello", "csrf_token": token_of(client)}, headers=OWN_PAGE)
            ids = [row["request_id"] for row in rows(client)]
        found = ["compare" in client.get(path).text for path in ("/history", f"/history/{ids[0]}")]
        assert found == ["generate" in scopes] * 2
