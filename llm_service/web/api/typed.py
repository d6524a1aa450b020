"""Each template as an operation of its own in the OpenAPI document.

flask-smorest documents one route as one operation. The route of all templates is documented once, as the pattern for
what they share (`PATTERN`); here it is replaced by one operation for each template of the set in use.
"""

from collections.abc import Mapping
from typing import Any

from llm_service.core.allowed_models import AllowedModels
from llm_service.core.parameters import MAIN_INPUT
from llm_service.core.properties import object_schema
from llm_service.core.templates import Template, TemplateSet

PATTERN = "/api/v1/templates/{template_id}/generate"
SCHEMAS = "#/components/schemas/"
RESPONSES = "#/components/responses/"

Document = Mapping[str, Any]


def with_templates(document: Document, templates: TemplateSet, models: AllowedModels) -> dict[str, Any]:
    """The document with the templates' operations and schemas; `document` stays as it is."""
    pattern = document["paths"][PATTERN]["post"]
    shared = {f"Generate{status}": response for status, response in pattern["responses"].items() if status != "200"}
    schemas = dict(document["components"]["schemas"])
    operations: dict[str, Any] = {}
    for template in templates:
        schemas.update(_schemas(template, models, schemas["Generation"]))
        operations[PATTERN.replace("{template_id}", template.template_id)] = {
            "post": _operation(template, templates.bare_name(template), pattern)
        }
    components = {
        **document["components"],
        "schemas": schemas,
        "responses": {**document["components"].get("responses", {}), **shared},
    }
    return {**document, "paths": _in_place_of_pattern(document["paths"], operations), "components": components}


def schema_name(template: Template) -> str:
    """`SummarizeV1`."""
    return "".join(part.capitalize() for part in template.template_id.split("_"))


def _in_place_of_pattern(paths: Document, operations: Document) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path, methods in paths.items():
        merged.update(operations if path == PATTERN else {path: methods})
    return merged


def _operation(template: Template, bare: str | None, pattern: Document) -> dict[str, Any]:
    return {
        "operationId": template.template_id,
        "summary": template.name,
        "description": _description(template, bare),
        "tags": pattern["tags"],
        "parameters": [one for one in pattern["parameters"] if one.get("in") != "path"],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"{SCHEMAS}{schema_name(template)}Request"},
                    "example": template.example(),
                }
            },
        },
        "responses": {
            status: _success(response, template) if status == "200" else {"$ref": f"{RESPONSES}Generate{status}"}
            for status, response in pattern["responses"].items()
        },
    }


def _description(template: Template, bare: str | None) -> str:
    also = f" Also at `{PATTERN.replace('{template_id}', bare)}` while it is the highest version." if bare else ""
    shape = " The answer is JSON: `output_json`." if template.outputs else ""
    return f"{template.description}{shape}\n\nRevision `{template.revision}`.{also}".strip()


def _success(response: Document, template: Template) -> dict[str, Any]:
    content = {**response["content"]}
    shown = {**content["application/json"]}
    if template.outputs:
        shown["schema"] = {"$ref": f"{SCHEMAS}{schema_name(template)}Generation"}
    # The pattern's example is another template's.
    shown.pop("example", None)
    return {**response, "content": {**content, "application/json": shown}}


def _schemas(template: Template, models: AllowedModels, generation: Document) -> dict[str, Any]:
    name = schema_name(template)
    schemas = {f"{name}Request": _request(template, models), f"{name}Parameters": object_schema(template.parameters)}
    if not template.parameters:
        schemas.pop(f"{name}Parameters")
    if template.outputs:
        output = {**template.outputs.schema, "title": f"{name}Output"}
        schemas[f"{name}Output"] = output
        schemas[f"{name}Generation"] = _generation(name, generation)
    return schemas


def _request(template: Template, models: AllowedModels) -> dict[str, Any]:
    main = template.main_input.json_schema()
    main.setdefault("minLength", 1)
    properties: dict[str, Any] = {MAIN_INPUT: main}
    required = [MAIN_INPUT]
    if template.parameters:
        properties["parameters"] = {"$ref": f"{SCHEMAS}{schema_name(template)}Parameters"}
        required += ["parameters"] * any(one.required for one in template.parameters)
    properties["model"] = {
        "type": "string",
        "enum": sorted(models.allowed_for(template)),
        "description": f"Left out = {models.choose(None, template)}.",
    }
    properties["stream"] = {
        "type": "boolean",
        "default": False,
        "description": "Whether the answer comes as server-sent events.",
    }
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _generation(name: str, generation: Document) -> dict[str, Any]:
    """The answer with `output_json`, in full: an `allOf` of closed objects would allow nothing."""
    output = {
        "oneOf": [{"$ref": f"{SCHEMAS}{name}Output"}, {"type": "null"}],
        "description": "The answer as JSON; null where it is incomplete.",
    }
    return {
        **generation,
        "properties": {**generation["properties"], "output_json": output},
        "required": [*generation["required"], "output_json"],
    }
