"""One OpenAPI operation for each template.

flask-smorest documents one operation per route. The route of all templates (`PATTERN`) is documented once, with what they
share; here it is replaced by one operation for each current template.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.inputs import MAIN_INPUT
from llm_service.core.templates.model import Template, TemplateSet
from llm_service.core.templates.options import OVERRIDABLE_OPTIONS
from llm_service.core.templates.properties import MAX_INTEGER, object_schema

PATTERN = "/api/v1/templates/{template_id}/generate"
SCHEMAS = "#/components/schemas/"
RESPONSES = "#/components/responses/"
ENDINGS = ("Request", "Parameters", "Output", "Generation")

Document = Mapping[str, Any]


def with_templates(document: Document, templates: TemplateSet, models: AllowedModels) -> dict[str, Any]:
    """The document with the templates' operations and schemas; `document` is not changed."""
    pattern = document["paths"][PATTERN]["post"]
    shared = {
        f"Generate{status}": response
        for status, response in pattern["responses"].items()
        if _is_shared(status, response)
    }
    schemas = dict(document["components"]["schemas"])
    names = _names(document, templates)
    operations: dict[str, Any] = {}
    for template in templates:
        name, bare = names[template.template_id], templates.bare_name(template)
        schemas.update(_schemas(template, name, models, schemas["Generation"]))
        path = PATTERN.replace("{template_id}", template.template_id)
        operations[path] = {"post": _operation(template, name, bare, pattern)}
    components = {
        **document["components"],
        "schemas": schemas,
        "responses": {**document["components"].get("responses", {}), **shared},
    }
    return {**document, "paths": _in_place_of_pattern(document["paths"], operations), "components": components}


def _names(document: Document, templates: TemplateSet) -> Mapping[str, str]:
    """The prefix of each template's schema names: `SummarizeV1`, or its id if that name is taken."""
    wanted = {template_id: "".join(map(str.capitalize, template_id.split("_"))) for template_id in templates.ids}
    counts = Counter(wanted.values())
    taken = document["components"]["schemas"]
    return {
        template_id: template_id if counts[name] > 1 or any(name + end in taken for end in ENDINGS) else name
        for template_id, name in wanted.items()
    }


def _is_shared(status: str, response: Document) -> bool:
    """Whether the response is a component that all templates share."""
    return status != "200" and "$ref" not in response


def _in_place_of_pattern(paths: Document, operations: Document) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path, methods in paths.items():
        merged.update(operations if path == PATTERN else {path: methods})
    return merged


def _operation(template: Template, name: str, bare: str | None, pattern: Document) -> dict[str, Any]:
    return {
        # `generate` is the operation for any template; no template id contains a hyphen.
        "operationId": "generate-template" if template.template_id == "generate" else template.template_id,
        "summary": template.name,
        "description": _description(template, bare),
        "tags": pattern["tags"],
        "parameters": [parameter for parameter in pattern["parameters"] if parameter.get("in") != "path"],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"{SCHEMAS}{name}Request"},
                    "example": template.example(),
                }
            },
        },
        **({"security": pattern["security"]} if "security" in pattern else {}),
        "responses": {
            status: {"$ref": f"{RESPONSES}Generate{status}"} if _is_shared(status, response) else response
            for status, response in {
                **pattern["responses"],
                "200": _success(pattern["responses"]["200"], template, name),
            }.items()
        },
    }


def _description(template: Template, bare: str | None) -> str:
    also = f" Also at `{PATTERN.replace('{template_id}', bare)}` while this is the highest version." if bare else ""
    shape = " The answer is JSON: `output_json`." if template.outputs else ""
    return f"{template.description}{shape}\n\nRevision `{template.revision}`.{also}".strip()


def _success(response: Document, template: Template, name: str) -> dict[str, Any]:
    content = {**response["content"]}
    shown = {**content["application/json"]}
    if template.outputs:
        shown["schema"] = {"$ref": f"{SCHEMAS}{name}Generation"}
    # The pattern's example belongs to another template.
    shown.pop("example", None)
    return {**response, "content": {**content, "application/json": shown}}


def _schemas(template: Template, name: str, models: AllowedModels, generation: Document) -> dict[str, Any]:
    schemas = {f"{name}Request": _request(template, name, models)}
    if template.parameters:
        schemas[f"{name}Parameters"] = _bounded(object_schema(template.parameters))
    if template.outputs:
        schemas[f"{name}Output"] = template.outputs.schema
        schemas[f"{name}Generation"] = _generation(name, generation)
    return schemas


def _request(template: Template, name: str, models: AllowedModels) -> dict[str, Any]:
    main = template.main_input.json_schema()
    main.setdefault("minLength", 1)
    # Not only white space, which for Python includes five characters more than a pattern's `\s`.
    main.setdefault("pattern", r"[^\s\x1c-\x1f\x85]")
    properties: dict[str, Any] = {MAIN_INPUT: main}
    required = [MAIN_INPUT]
    if template.parameters:
        properties["parameters"] = {"$ref": f"{SCHEMAS}{name}Parameters"}
        required += ["parameters"] * any(prop.required for prop in template.parameters)
    properties["model"] = {
        "type": ["string", "null"],
        "enum": [*sorted(models.allowed_for(template)), None],
        "description": f"Omitted or null = {models.default_for(template)}.",
    }
    if template.overridable:
        properties["options"] = {
            **object_schema([OVERRIDABLE_OPTIONS[name] for name in template.overridable]),
            "description": "Options of the model for this request.",
        }
    properties["stream"] = {
        "type": "boolean",
        "default": False,
        "description": "Whether to send the answer as server-sent events.",
    }
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    """With the bounds of all integers where the template sets none."""
    if schema.get("type") in ("integer", ["integer", "null"]) and "enum" not in schema:
        return {"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER, **schema}
    inner = dict(schema)
    if "properties" in schema:
        inner["properties"] = {name: _bounded(prop) for name, prop in schema["properties"].items()}
    if "items" in schema:
        inner["items"] = _bounded(schema["items"])
    return inner


def _generation(name: str, generation: Document) -> dict[str, Any]:
    """The full answer schema with `output_json`; not an `allOf`, because no value matches several closed objects."""
    output = {
        "oneOf": [{"$ref": f"{SCHEMAS}{name}Output"}, {"type": "null"}],
        "description": "The answer as JSON; null if it is incomplete.",
    }
    return {
        **generation,
        "properties": {**generation["properties"], "output_json": output},
        "required": [*generation["required"], "output_json"],
    }
