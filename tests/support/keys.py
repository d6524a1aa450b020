"""Keys for tests, and clients that use them."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import services_of
from llm_service.core.access.caller import Scope
from llm_service.core.access.keys import Key
from tests.support.constants import OWN_PAGE

MOST = ("generate", "history", "usage")


def make_key(app: Flask, owner: str = "alice", scopes: tuple[str, ...] = MOST, **more: Any) -> tuple[str, Key]:
    return services_of(app).keyring.make(owner, frozenset(map(Scope, scopes)), **more)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


class KeyClient:
    """A program that sends its key with every request."""

    def __init__(self, app: Flask, text: str) -> None:
        self._client = app.test_client()
        self._headers = bearer(text)

    def __call__(self, method: str, address: str, **more: Any) -> Any:
        headers = {**self._headers, **more.pop("headers", {})}
        return self._client.open(address, method=method, headers=headers, buffered=True, **more)


def signed_in(app: Flask, text: str) -> FlaskClient:
    """A browser that has signed in over plain HTTP on the service's own machine."""
    client = app.test_client()
    response = client.post("/login", data={"key": text}, headers=OWN_PAGE)
    assert response.status_code == 303, response.text
    return client


def token_of(client: FlaskClient, page: str = "/templates") -> str:
    """What a page of the browser's gives its forms."""
    found = re.search(r'name="csrf_token" value="([0-9a-f]{128})"', client.get(page).text)
    assert found
    return found[1]
