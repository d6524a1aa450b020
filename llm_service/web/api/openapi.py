"""The frame of the OpenAPI document: what it says of the whole service, and which scope each operation needs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask
from flask_smorest import Api

from llm_service import __version__
from llm_service.core.access.caller import Scope

from ..schemas.problems import ProblemSchema
from .blueprint import PROBLEM_TYPE

DESCRIPTION = """Prompt templates as validated endpoints in front of language models. Every answer is cached, counted and
stored.

**Units.** Times are RFC 3339 in UTC. Durations have their unit in the name (`_ms`). Money is in US dollars, as a decimal
string. Token counts are the provider's. An unknown count or amount is `null`, never 0.

**Errors** are problem documents (RFC 9457). `error` is a stable code, explained at `/problems/<error>`. `errors` lists
the invalid fields. `request_id` identifies the request in the log.

**API keys.** Send `Authorization: Bearer llms_...`. Each operation names the scope that the key needs: `generate`, `history`,
`usage` or `admin`, which includes all the others. Clients on the service's own machine may need no key.

**Limits**, if there are any, are in the `RateLimit-*` headers of generate responses and at `GET /api/v1/limits`. The errors
429 `rate-limited` and 402 `budget-exhausted` contain the `limit` that refused the request, and a `Retry-After` header.

**Every response** has an `X-Request-ID` header: your own, if you sent one that matches `[A-Za-z0-9._-]{1,64}`, else ours.
"""
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as printed by `flask keys create`. A browser that is signed in at `/login` sends its "
        "session cookie instead; requests that change something then also need the session's token in `X-CSRF-Token`.",
    }
}


class ServiceApi(Api):
    """flask-smorest's `Api` without its app-wide error handler (ours chooses by path: `web.http.errors`)."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """None: `web.http.errors` registers ours."""

    def _register_responses(self) -> None:
        # smorest would document its own error format under these names.
        for status in HTTPStatus:
            response: dict[str, Any] = {"description": status.phrase}
            if status >= 400:
                response["content"] = {PROBLEM_TYPE: {"schema": ProblemSchema}}
            self.spec.components.response(status.name, response, lazy=True)
        default = {"description": "An error", "content": {PROBLEM_TYPE: {"schema": ProblemSchema}}}
        self.spec.components.response("DEFAULT_ERROR", default, lazy=True)


def make_api(app: Flask) -> ServiceApi:
    app.config.update(
        API_TITLE=app.config["SERVICE_NAME"],
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": "/", "description": "This server"}],
            "components": {"securitySchemes": SECURITY_SCHEMES},
        },
    )
    return ServiceApi(app)


def with_scopes(document: dict[str, Any], app: Flask) -> dict[str, Any]:
    """The document, each operation with the scope that it requires; `[]` = any key, `{}` = none on the service's own machine."""
    keyless: list[dict[str, list[str]]] = [{}] if app.config["OPEN_ON_LOOPBACK"] else []
    needs: Mapping[str, object] = app.config["ROUTE_PERMISSIONS"]
    for rule in app.url_map.iter_rules():
        path = document["paths"].get(rule.rule.replace("<", "{").replace(">", "}"), {})
        for method in rule.methods or ():
            operation, need = path.get(method.lower()), needs.get(rule.endpoint)
            if operation is not None and "security" not in operation:
                operation["security"] = [
                    {"bearer": [need.value] if isinstance(need, Scope) else []},
                    *keyless,
                ]
    return document
