"""Requests that many tests make: the body, the form, and the addresses."""

import html
import re

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.constants import OWN_PAGE

GENERATE = "/api/v1/generate"
BODY = {"template_id": "basic_chat_v1", "input": "Hello", "parameters": {"tone": "simple"}}
FIELDS = {
    "request_id", "template_id", "template_revision", "model", "provider", "fallbacks", "status", "incomplete_reason",
    "warnings", "cached", "output",
    "system_prompt", "user_prompt", "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens",
    "reasoning_tokens", "cost_usd", "saved_usd", "latency_ms", "created_at",
}  # fmt: skip
FORM = {"template_id": "basic_chat_v1", "template_shown": "basic_chat_v1", "input": "Hello there", "p.tone": "simple"}


def post(client: FlaskClient, path: str = "/", **changes: str) -> TestResponse:
    return client.post(path, data={**FORM, **changes}, headers=OWN_PAGE)


def get(client: FlaskClient, path: str, peer: str = "127.0.0.1", **headers: str) -> tuple[int, str | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with client.get(path, headers=named, environ_base={"REMOTE_ADDR": peer}) as response:
        return response.status_code, (response.get_json(silent=True) or {}).get("error")


def addresses(app: Flask) -> list[str]:
    values = {
        "template_id": "basic_chat_v1",
        "request_id": "missing",
        "error": "not-found",
        "filename": "css/app.css",
        "format": "json",
        "revision": "0" * 12,
    }
    return [rule.build({name: values[name] for name in rule.arguments})[1] for rule in app.url_map.iter_rules()]  # type: ignore[index]


def text_of(page: str, element_id: str) -> str:
    """The text of a page's element."""
    found = re.search(rf'id="{element_id}"[^>]*>(.*?)</', page, re.DOTALL)
    assert found, element_id
    return html.unescape(found[1])
