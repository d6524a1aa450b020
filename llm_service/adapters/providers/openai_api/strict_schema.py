"""JSON Schema for the Responses API with `strict`: a subset, with every key required."""

from collections.abc import Mapping
from typing import Any

# The keywords of `Property.json_schema` that the API supports
# (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas, 2026-11). The service checks the rest.
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
    """The same schema in the strict subset. Optional properties already allow `null`."""
    strict = {key: value for key, value in schema.items() if key in _KNOWN}
    if "items" in schema:
        strict["items"] = strict_schema(schema["items"])
    if "properties" in schema:
        strict["properties"] = {name: strict_schema(inner) for name, inner in schema["properties"].items()}
        strict["required"] = list(schema["properties"])
    return strict
