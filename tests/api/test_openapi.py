"""The document is valid, whole, and true."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from llm_service.web.api.template_operations import PATTERN
from tests.support.constants import ROOT
from tests.support.requests import BODY, GENERATE
from tests.support.upstream import Upstream

TYPED = re.compile(r"/api/v1/templates/[a-z0-9_]+/generate")
GOLDEN = ROOT / "tests" / "golden" / "openapi.json"


@pytest.fixture(name="document")
def _document(client: FlaskClient) -> dict[str, Any]:
    return client.get("/openapi.json").get_json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_golden(document: dict[str, Any]) -> None:
    """`UPDATE_GOLDEN=1` rewrites the file; read the diff."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text


def test_every_api_route_is_documented(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    typed = {(PATTERN, method) for path, method, _ in operations(document) if TYPED.fullmatch(path)}
    other = {(path, method) for path, method, _ in operations(document) if not TYPED.fullmatch(path)}
    assert typed | other == routes


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    ids = []
    for path, method, operation in operations(document):
        ids.append(operation["operationId"])
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert any(status.startswith("2") for status in operation["responses"]), (path, method)
    assert len(ids) == len(set(ids))


def test_every_error_of_generate_is_documented(document: dict[str, Any]) -> None:
    responses = document["paths"][GENERATE]["post"]["responses"]
    documented = " ".join(
        responses[status]["description"] for status in responses if status >= "400" and status != "default"
    )
    for code in ("invalid-json", "csrf", "too-large", "unknown-template", "upstream-truncated", "storage-full"):
        assert f"`{code}`" in documented


def resolved(document: dict[str, Any], path: str, method: str, status: str, media: str) -> dict[str, Any]:
    schema = document["paths"][path][method]["responses"][status]["content"][media]["schema"]
    return {**schema, "components": document["components"]}


def test_answers_are_as_documented(client: FlaskClient, document: dict[str, Any]) -> None:
    request_id = client.post(GENERATE, json=BODY).get_json()["request_id"]
    for path, method, _ in operations(document):
        if method != "get" or path.endswith((".txt", "/export", "/events")):
            continue
        address = path.replace("{request_id}", request_id).replace("{template_id}", "basic_chat_v1")
        response = client.get(address)
        assert response.status_code == 200, address
        jsonschema.validate(response.get_json(), resolved(document, path, "get", "200", "application/json"))
    answer = client.post(GENERATE, json=BODY).get_json()
    jsonschema.validate(answer, resolved(document, GENERATE, "post", "200", "application/json"))
    export = json.loads(client.get("/api/v1/history/export").data)
    jsonschema.validate(export, resolved(document, "/api/v1/history/export", "get", "200", "application/json"))
    problem = client.post(GENERATE, json={}).get_json()
    jsonschema.validate(problem, resolved(document, GENERATE, "post", "422", "application/problem+json"))


def test_the_documented_examples_work(client: FlaskClient, document: dict[str, Any]) -> None:
    content = document["paths"][GENERATE]["post"]["requestBody"]["content"]["application/json"]
    assert client.post(GENERATE, json=content["example"]).status_code == 200


# -- what generators of clients need


def everything(value: Any) -> Iterator[dict[str, Any]]:
    """Each object of the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from everything(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from everything(inner)


def test_generators_find_json_first(document: dict[str, Any]) -> None:
    """They take the first type that they know."""
    several = 0
    for path, method, operation in operations(document):
        content = list(operation["responses"]["200"].get("content", [])) if "200" in operation["responses"] else []
        if len(content) > 1:
            several += 1
            assert content[0] == "application/json", (path, method)
    assert several > 10


def test_event_streams_are_text(document: dict[str, Any]) -> None:
    streams = [part["text/event-stream"] for part in everything(document["paths"]) if "text/event-stream" in part]
    assert len(streams) > 10
    assert {stream["schema"]["type"] for stream in streams} == {"string"}


def test_no_schema_is_unused(document: dict[str, Any]) -> None:
    used = {part["$ref"] for part in everything(document) if isinstance(part.get("$ref"), str)}
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} == {
        reference for reference in used if "/schemas/" in reference
    }


def test_what_has_a_default_may_be_omitted(document: dict[str, Any]) -> None:
    """A `default` in a schema makes openapi-typescript demand the value of every caller: it is text here."""
    schemas = document["components"]["schemas"]
    bodies = {name: schema for name, schema in schemas.items() if name.endswith(("Request", "Parameters"))}
    assert len(bodies) > 10
    for name, schema in bodies.items():
        assert not any("default" in part for part in everything(schema["properties"])), name
        assert "stream" not in schema.get("required", ())
        if "stream" in schema["properties"]:
            assert schema["properties"]["stream"]["description"].endswith("Default: `false`.")
    tone = schemas["BasicChatV1Parameters"]
    assert "tone" not in tone.get("required", ())
    assert "Default: `" in tone["properties"]["tone"]["description"]


def test_examples_work_with_the_configured_model_and_prompts(
    make_app: Callable[..., Flask], upstream: Upstream
) -> None:
    prompts = str(ROOT / "tests" / "prompts")
    app = make_app(OPENAI_BASE_URL=upstream.base_url, OPENAI_MODEL="normal", APP_PROMPTS_DIR=prompts)
    client = app.test_client()
    document = client.get("/openapi.json").get_json()
    tried = 0
    for path, _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "{" not in path and "example" in content:
            model = document["components"]["schemas"]["GenerateRequest"]["properties"]["model"]["examples"][0]
            response = client.post(path, json={**content["example"], "model": model})
            assert response.status_code in (200, 502), (
                path,
                response.get_json(),
            )  # a typed answer is not the upstream's
            assert response.get_json().get("error") in (None, "invalid-output")
            tried += 1
    assert tried == 3
    assert "gpt-4o-mini" not in json.dumps(document["components"]["schemas"]["GenerateRequest"])
