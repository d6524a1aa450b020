"""JSON Schema as the Responses API takes it with `strict`: a part of the language, with every key required."""

from collections.abc import Mapping
from typing import Any

# What the API knows of what `Property.json_schema` writes
# (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas, 2026-11). The rest is checked here alone.
_KNOWN = {
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "pattern",
    "minItems",
    "maxItems",
    "additionalProperties",
}


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in the strict part of the language. What may be left out may be `null` there already."""
    strict = {key: value for key, value in schema.items() if key in _KNOWN}
    if "items" in schema:
        strict["items"] = strict_schema(schema["items"])
    if "properties" in schema:
        strict["properties"] = {name: strict_schema(inner) for name, inner in schema["properties"].items()}
        strict["required"] = list(schema["properties"])
    return strict
