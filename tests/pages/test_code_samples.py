"""The code samples of the pages: which headers they have, and that every value comes through."""

import ast
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.web.pages.code_samples import MAX_SAMPLE_CHARS, ApiRequest, code_samples
from tests.support.constants import TEST_PROMPTS
from tests.support.keys import make_key, signed_in
from tests.support.requests import post, text_of

URL = "http://127.0.0.1:8000/api/v1/generate"
VALUES: dict[str, Any] = {
    "input": "a\nJSON\n'\"\\ $x `y` \u2028 \u202e \ud800 \x00 \x85 \U0001f600",
    "parameters": {"__proto__": {"a": [1, 2.5, True, None, [], {}]}, "text": '"__proto__": 1', "": "empty"},
}


def samples_of(body: dict[str, Any], **more: bool) -> dict[str, str]:
    return {sample.language: sample.text for sample in code_samples(ApiRequest(URL, body, **{"with_key": False, **more}))}  # fmt: skip


def test_python_has_the_same_values() -> None:
    tree = ast.parse(samples_of(VALUES)["python"])
    body = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "body")  # type: ignore[attr-defined]
    assert ast.literal_eval(body) == VALUES


def test_json_has_the_same_values() -> None:
    samples = samples_of(VALUES)
    assert json.loads(samples["json"]) == VALUES
    assert samples["curl"].endswith(f"<<'JSON'\n{samples['json']}\nJSON")
    assert "\nJSON\n" not in samples["json"]


def test_javascript_has_no_key_that_sets_a_prototype() -> None:
    script = samples_of(VALUES)["javascript"]
    assert '["__proto__"]: {' in script
    assert '"\\"__proto__\\": 1"' in script


def test_no_character_reorders_the_code_or_cannot_be_sent() -> None:
    for text in samples_of(VALUES).values():
        text.encode()
        assert not {"\u202e", "\u2028", "\x85"} & set(text)


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_a_key_and_the_cache_are_mentioned_where_they_matter(language: str) -> None:
    assert "LLM_API_KEY" not in samples_of(VALUES)[language]
    assert "no-cache" not in samples_of(VALUES)[language]
    assert "LLM_API_KEY" in samples_of(VALUES, with_key=True)[language]
    assert "no-cache" in samples_of(VALUES, skip_cache=True)[language]


def test_a_long_body_is_shown_once() -> None:
    assert list(samples_of({"input": "a" * MAX_SAMPLE_CHARS})) == ["json"]


def test_the_samples_have_a_key_where_a_program_needs_one(make_app: Callable[..., Flask], client: FlaskClient) -> None:
    closed = make_app(APP_AUTH="required")
    reader = signed_in(closed, make_key(closed)[0])
    for path in ("/templates/summarize", "/"):
        assert "Bearer $LLM_API_KEY" in reader.get(path).text
        assert "LLM_API_KEY" not in client.get(path).text


def test_a_value_that_cannot_be_stored_is_shown(make_app: Callable[..., Flask]) -> None:
    client = make_app(APP_PROMPTS_DIR=str(TEST_PROMPTS)).test_client()
    response = post(client, "/generate/payload", template_id="ticket_v1", **{"p.labels": '["\\ud800"]'})
    assert response.status_code == 200
    assert "\\ud800" in text_of(response.text, "payload-json")
