"""The last touch to the OpenAPI document: what generators of clients and people who try it need, and smorest does not do."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.model import TemplateSet

from .blueprint import JSON_TYPE

GENERATE_PATH = "/api/v1/generate"
# Their schemas name an example of a model.
NAMING_A_MODEL = ("GenerateRequest", "PreviewRequest")


def with_details(document: Mapping[str, Any], templates: TemplateSet, models: AllowedModels) -> dict[str, Any]:
    """The finished document; `document` is not changed."""
    finished = deepcopy(dict(document))
    _use_what_is_configured(finished, templates, models)
    _describe_defaults(finished)
    _drop_unused_schemas(finished)
    return finished


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        for method, operation in methods.items():
            if method != "parameters":
                yield operation


def _use_what_is_configured(document: dict[str, Any], templates: TemplateSet, models: AllowedModels) -> None:
    """Examples that work as they are."""
    template = templates.default_template
    operation = document["paths"][GENERATE_PATH]["post"]
    example = {"template_id": template.template_id, **template.example()}
    operation["requestBody"]["content"][JSON_TYPE]["example"] = example
    operation["responses"]["200"]["content"][JSON_TYPE]["example"]["model"] = models.shown_for(template)
    for name in NAMING_A_MODEL:
        document["components"]["schemas"][name]["properties"]["model"]["examples"] = [models.default]


def _describe_defaults(document: dict[str, Any]) -> None:
    """Defaults of request bodies as text.

    Generators take `default` for a promise that the value is there, and make the caller send it (openapi-typescript).
    """
    schemas = document["components"]["schemas"]
    bodies = [operation["requestBody"] for operation in _operations(document) if "requestBody" in operation]
    for name in _reachable(bodies, schemas):
        for schema in _subschemas(schemas[name]):
            if "default" in schema:
                default = schema.pop("default")
                if default not in (None, {}):
                    text = f"{schema.get('description', '')} Default: `{json.dumps(default, ensure_ascii=False)}`."
                    schema["description"] = text.strip()


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of the schema's properties and items, at any depth."""
    for inner in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield inner
        yield from _subschemas(inner)


def _drop_unused_schemas(document: dict[str, Any]) -> None:
    components = document["components"]
    rest = [document["paths"], {name: part for name, part in components.items() if name != "schemas"}]
    used = _reachable(rest, components["schemas"])
    components["schemas"] = {name: schema for name, schema in components["schemas"].items() if name in used}


def _reachable(roots: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The names of the schemas that `roots` refer to, directly or through other schemas."""
    found: set[str] = set()
    waiting = list(_references(roots))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
            yield reference.rsplit("/", 1)[1]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
