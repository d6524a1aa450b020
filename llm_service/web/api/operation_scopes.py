"""Which scope each operation needs, in the OpenAPI document: the same table that the door reads."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from llm_service.core.access.caller import Scope

SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as `flask keys create` prints it. A browser that is signed in at `/login` sends its "
        "session's cookie instead; a changing request then also needs the session's token in `X-CSRF-Token`.",
    }
}


def with_scopes(document: dict[str, Any], app: Flask) -> dict[str, Any]:
    """The document, each operation with the scope that opens it; `[]` = any key."""
    needs: Mapping[str, object] = app.config["ROUTE_PERMISSIONS"]
    for rule in app.url_map.iter_rules():
        path = document["paths"].get(rule.rule.replace("<", "{").replace(">", "}"), {})
        for method in rule.methods or ():
            operation, need = path.get(method.lower()), needs.get(rule.endpoint)
            if operation is not None and "security" not in operation:
                operation["security"] = [{"bearer": [need.value] if isinstance(need, Scope) else []}]
    return document
