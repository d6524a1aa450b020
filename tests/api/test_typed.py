"""Each template as an operation of its own: what it takes, what it answers, and how the document describes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.support.constants import ROOT, SHIPPED, TEST_PROMPTS

URL = "/api/v1/templates/{}/generate"
TICKET = {"input": "Hi", "parameters": {"labels": ["bug"], "budget": 1}}


def generate(client: FlaskClient, template_id: str, body: object, **headers: str) -> Any:
    return client.post(URL.format(template_id), json=body, headers=headers)


def document_of(client: FlaskClient) -> dict[str, Any]:
    return client.get("/openapi.json").get_json()  # type: ignore[no-any-return]


def operation_of(document: dict[str, Any], template_id: str) -> dict[str, Any]:
    return document["paths"][URL.format(template_id)]["post"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module", name="ticket")
def _ticket(make_shared_app: Callable[..., Flask]) -> FlaskClient:
    return make_shared_app(APP_PROMPTS_DIR=str(TEST_PROMPTS), APP_MODELS="gpt-4o-mini,gpt-4o").test_client()


@pytest.mark.parametrize("template_id", SHIPPED)
def test_every_shipped_template_has_an_operation_whose_example_works(client: FlaskClient, template_id: str) -> None:
    document = document_of(client)
    operation = operation_of(document, template_id)
    assert operation["operationId"] == template_id
    assert operation["summary"]
    assert len(operation["description"]) > 40
    check_operation(client, document, template_id)


@pytest.mark.parametrize("template_id", ["ticket_v1", "wishes_v1"])
def test_and_so_has_one_with_everything_that_a_template_can_have(ticket: FlaskClient, template_id: str) -> None:
    document = document_of(ticket)
    validate(document)
    check_operation(ticket, document, template_id)


def check_operation(client: FlaskClient, document: dict[str, Any], template_id: str) -> None:
    """Its example keeps its schema and works, and the answer is as documented."""
    operation = operation_of(document, template_id)
    example = operation["requestBody"]["content"]["application/json"]["example"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(example, {**schema, "components": document["components"]})
    response = generate(client, template_id, example)
    assert response.status_code == 200, response.text
    answers = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(response.get_json(), {**answers, "components": document["components"]})


def test_no_default_where_none_was_declared(ticket: FlaskClient) -> None:
    schemas = document_of(ticket)["components"]["schemas"]["WishesV1Parameters"]
    said = {name for name, prop in schemas["properties"].items() if "Default: `" in prop.get("description", "")}
    assert said == {"style", "tags"}
    assert "required" not in schemas
    # A generator of clients takes 1 for an integer.
    assert json.dumps(schemas["properties"]["share"]["enum"]) == "[0.5, 1.0, 2.0]"
    answer = generate(ticket, "wishes", {"input": "x"}).get_json()
    assert answer["user_prompt"] == "x||None|||||None|formal|a+b".replace("|||||None", "||||{}|None")


def test_the_same_number_renders_alike(ticket: FlaskClient) -> None:
    first, second = (generate(ticket, "wishes", {"input": "x", "parameters": {"share": value}}) for value in (1, 1.0))
    assert "|1|" in first.get_json()["user_prompt"]
    assert second.headers["Cache-Status"] == "llm-service; hit"


@pytest.mark.parametrize("code", ["12345\n", "١٢٣٤٥", "1234", "x12345"])
def test_a_pattern_means_what_the_document_says(ticket: FlaskClient, code: str) -> None:
    response = generate(ticket, "wishes", {"input": "x", "parameters": {"code": code}})
    assert [error["field"] for error in response.get_json()["errors"]] == ["parameters.code"]


def test_bounds_are_documented_to_the_last_digit(ticket: FlaskClient) -> None:
    for value, words in ((1234568, "must be at most 1234567"), (0, "must be at least 0.00001")):
        response = generate(ticket, "wishes", {"input": "x", "parameters": {"price": value}})
        assert response.get_json()["errors"][0]["message"] == words


def test_a_bare_name_means_the_highest_version(client: FlaskClient) -> None:
    answer = generate(client, "summarize", {"input": "Hello"}).get_json()
    assert answer["template_id"] == "summarize_v1"


def test_it_answers_as_generate_does(client: FlaskClient) -> None:
    typed = generate(client, "basic_chat_v1", {"input": "Hello", "parameters": {"tone": "simple"}})
    generic = client.post(
        "/api/v1/generate", json={"template_id": "basic_chat_v1", "input": "Hello", "parameters": {"tone": "simple"}}
    )
    assert (typed.headers["Cache-Status"], generic.headers["Cache-Status"]) == (
        "llm-service; fwd=miss; stored", "llm-service; hit",
    )  # fmt: skip
    assert typed.get_json().keys() == generic.get_json().keys()


def test_it_streams_and_takes_an_idempotency_key(client: FlaskClient) -> None:
    streamed = generate(client, "basic_chat_v1", {"input": "Hello", "stream": True})
    assert streamed.mimetype == "text/event-stream"
    assert "event: done" in streamed.text
    first, again = (generate(client, "basic_chat_v1", {"input": "Once"}, **{"Idempotency-Key": "k1"}) for _ in "ab")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    assert generate(client, "basic_chat_v1", {"input": "Other"}, **{"Idempotency-Key": "k1"}).status_code == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"template_id": "ticket_v1"}, "template_id"),
        ({"input": ""}, "input"),
        ({"input": "x" * 1001}, "input"),
        ({"model": "gpt-9"}, "model"),
        ({"parameters": {"budget": 1}}, "parameters.labels"),
        ({"parameters": {"budget": 1, "labels": ["bug", 3]}}, "parameters.labels.1"),
        ({"parameters": {"budget": 1, "labels": ["bug"] * 6}}, "parameters.labels"),
        ({"parameters": {"budget": -1, "labels": ["bug"]}}, "parameters.budget"),
        ({"parameters": {"budget": "1", "labels": ["bug"]}}, "parameters.budget"),
        ({"parameters": {"budget": 1, "labels": ["bug"], "urgency": 9}}, "parameters.urgency"),
        ({"parameters": {"budget": 1, "labels": ["bug"], "queue": "A B"}}, "parameters.queue"),
        (
            {"parameters": {"budget": 1, "labels": ["bug"], "customer": {"id": 0}}},
            "parameters.customer.id",
        ),
        (
            {"parameters": {"budget": 1, "labels": ["bug"], "customer": {"id": 1, "x": 1}}},
            "parameters.customer.x",
        ),
        ({"parameters": {"budget": 1, "labels": ["bug"], "polite": "yes"}}, "parameters.polite"),
    ],
)
def test_what_the_schema_refuses_the_service_refuses(ticket: FlaskClient, change: dict[str, Any], field: str) -> None:
    body = {**TICKET, **change}
    response = generate(ticket, "ticket_v1", body)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == [field]
    document = document_of(ticket)
    schema = {"$ref": "#/components/schemas/TicketV1Request", "components": document["components"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema)
    jsonschema.validate(TICKET, schema)


def test_the_schema_says_all_that_the_file_says(ticket: FlaskClient) -> None:
    schemas = document_of(ticket)["components"]["schemas"]
    request, parameters = schemas["TicketV1Request"], schemas["TicketV1Parameters"]
    assert request["required"] == ["input", "parameters"]
    assert request["additionalProperties"] is parameters["additionalProperties"] is False
    assert request["properties"]["model"]["enum"] == ["gpt-4o", "gpt-4o-mini", None]
    assert parameters["required"] == ["labels", "budget"]
    assert parameters["properties"]["urgency"] == {
        "type": "integer", "description": "How urgent it is already. Default: `3`.", "minimum": 1, "maximum": 5,
        "examples": [2],
    }  # fmt: skip
    assert parameters["properties"]["queue"]["pattern"] == "^[a-z]+$"
    assert schemas["TicketV1Output"]["properties"]["due"]["type"] == ["string", "null"]


@pytest.mark.shared_app
@pytest.mark.parametrize("name", ["nope", "..%2f..%2fetc%2fpasswd", "__class__", "BASIC_CHAT_V1", "x" * 10_000])
@pytest.mark.parametrize("what", ["generate", "preview"])
def test_an_unknown_template_in_the_path_is_not_there(client: FlaskClient, name: str, what: str) -> None:
    response = client.post(f"/api/v1/templates/{name}/{what}", json={"input": "Hi"})
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_other_methods_are_named(client: FlaskClient, method: str) -> None:
    response = getattr(client, method)(URL.format("basic_chat_v1"))
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


def test_names_that_collide_stay_apart(make_app: Any, tmp_path: Path) -> None:
    text = (ROOT / "prompts/summarize_v1.prompty").read_text()
    for name in ("generate", "generate_", "generate_template", "a_1", "a1x", "a_1x", "a1_"):
        (tmp_path / f"{name}.prompty").write_text(text)
    document = document_of(make_app(APP_PROMPTS_DIR=str(tmp_path)).test_client())
    validate(document)
    ids = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if "operationId" in operation
    ]
    assert len(ids) == len(set(ids))
    used = [
        operation_of(document, path.stem)["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for path in tmp_path.glob("*.prompty")
    ]
    assert len(used) == len(set(used)) == 7
    assert not any(name.endswith("/GenerateRequest") for name in used)
