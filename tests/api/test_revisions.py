"""Which revisions a service stores."""

from collections.abc import Callable

import pytest
from flask import Flask

from llm_service.app import services_of
from tests.support.requests import BODY, GENERATE, post


def used(app: Flask) -> list[str]:
    return [each.template_id for each in services_of(app).revisions.used()]


@pytest.mark.parametrize(
    ("history", "stored"), [("full", ["basic_chat_v1"]), ("metadata", ["basic_chat_v1"]), ("off", [])]
)
def test_a_revision_is_stored_when_it_is_used(make_app: Callable[..., Flask], history: str, stored: list[str]) -> None:
    app = make_app(APP_HISTORY=history)
    client = app.test_client()
    assert client.post("/api/v1/templates/basic_chat_v1/preview", json={"input": "Hi"}).status_code == 200
    assert client.post(GENERATE, json={**BODY, "parameters": {"tone": "nope"}}).status_code == 422
    assert used(app) == []
    for _ in range(2):  # the second one is a cache hit
        assert client.post(GENERATE, json=BODY).status_code == 200
    assert used(app) == stored
    post(client, template_id="summarize_v1", template_shown="summarize_v1")
    assert sorted(used(app)) == [*stored, *(["summarize_v1"] if stored else [])]


def test_another_process_stores_it_no_second_time(make_app: Callable[..., Flask]) -> None:
    apps = [make_app(), make_app()]
    for app in apps:
        assert app.test_client().post(GENERATE, json=BODY).status_code == 200
    first = services_of(apps[0]).revisions.used()
    assert (len(first), list(services_of(apps[1]).revisions.used())) == (1, list(first))
