import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service import __version__
from llm_service.adapters.memory.cache import MemoryCache
from llm_service.app import create_app, services_of
from llm_service.core.access.keys import with_checksum
from tests.support.constants import ROOT, SHIPPED
from tests.support.keys import bearer, make_key
from tests.support.requests import BODY, GENERATE


def test_health(client: FlaskClient) -> None:
    assert client.get("/api/v1/health").get_json() == {"status": "ok", "service": "LLM API Service", "env": "dev"}


def test_ready(client: FlaskClient) -> None:
    response = client.get("/api/v1/ready")
    assert (response.status_code, response.get_json()) == (
        200, {"status": "ready", "checks": {"database": "ok", "cache": "ok", "templates": "ok", "provider": "ok"}},
    )  # fmt: skip


def test_not_ready_until_the_provider_is_warm(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    response = client.get("/api/v1/ready")
    assert (response.status_code, response.get_json()["status"]) == (503, "not-ready")
    assert response.get_json()["checks"]["provider"] == "warming up"
    services_of(upstream_app).providers.warm()
    assert client.get("/api/v1/ready").get_json()["status"] == "ready"


def test_ready_after_the_first_call_where_nothing_warms_the_provider(upstream_app: Flask) -> None:
    """As with `flask run`."""
    client = upstream_app.test_client()
    assert client.post(GENERATE, json=BODY).status_code == 200
    assert client.get("/api/v1/ready").get_json()["status"] == "ready"


def test_degraded_while_the_key_is_refused(upstream_app: Flask) -> None:
    client = upstream_app.test_client()
    services_of(upstream_app).providers.warm()
    client.post(GENERATE, json={**BODY, "model": "fault-401"})
    response = client.get("/api/v1/ready")
    assert (response.status_code, response.get_json()["status"]) == (200, "degraded")
    client.post(GENERATE, json=BODY)
    assert client.get("/api/v1/ready").get_json()["status"] == "ready"


INVALID = with_checksum("llms_" + "0" * 12 + "_" + "0" * 43)


class UnreachableCache(MemoryCache):
    """As a shared cache whose server is away."""

    def health_error(self) -> str | None:
        return "unreachable"


def test_degraded_while_the_cache_is_away(app: Flask) -> None:
    cache = UnreachableCache(ttl_s=1, max_entries=0, max_bytes=1)
    services = replace(services_of(app), cache=cache)
    response = create_app(app.config["SETTINGS"], services=services).test_client().get("/api/v1/ready")
    assert (response.status_code, response.get_json()["status"]) == (200, "degraded")
    assert response.get_json()["checks"] == {
        "database": "ok", "cache": "unreachable", "templates": "ok", "provider": "ok"
    }  # fmt: skip


def test_strangers_get_words_and_callers_with_a_key_the_details(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    shutil.copytree(ROOT / "prompts", folder)
    app = make_app(APP_AUTH="required", APP_PROMPTS_DIR=str(folder))
    (folder / "secret_plan_v1.prompty").write_text("---\nnome: Plan\n---\n")
    services_of(app).template_registry.refresh()
    services = replace(services_of(app), cache=UnreachableCache(ttl_s=1, max_entries=0, max_bytes=0))
    client = create_app(app.config["SETTINGS"], services=services).test_client()
    headers = bearer(make_key(app, scopes=("generate",))[0])
    for stranger in ({}, {"Authorization": f"Bearer {INVALID}"}, {"Cookie": "session=" + "0" * 64}):
        response = client.get("/api/v1/ready", headers=stranger)
        assert (response.status_code, response.get_json()) == (
            200,
            {
                "status": "degraded",
                "checks": {"database": "ok", "cache": "failing", "templates": "failing", "provider": "ok"},
            },
        )
    checks = client.get("/api/v1/ready", headers=headers).get_json()["checks"]
    assert checks["cache"] == "unreachable"
    assert "secret_plan_v1.prompty:" in checks["templates"]


def test_status(client: FlaskClient) -> None:
    for _ in range(2):
        client.post(GENERATE, json=BODY)
    status = client.get("/api/v1/status").get_json()
    assert status.pop("uptime_s") >= 0
    assert 500 < status["cache"].pop("bytes") < 5000
    assert status == {
        "service": "LLM API Service",
        "env": "dev",
        "version": __version__,
        "model": "echo",
        "models": ["gpt-4o-mini"],
        "provider": "echo",
        "templates": SHIPPED,
        "template_faults": [],
        "cache_size": 1,
        "cache": {
            "backend": "memory",
            "entries": 1,
            "max_entries": 10000,
            "max_bytes": 268435456,
            "hits": 1,
            "misses": 1,
            "coalesced": 0,
        },
        "running": 0,
        "upstream": {"in_flight": 0, "slots": 500, "circuit": "closed", "retries_last_minute": 0},
        "providers": [
            {
                "name": "echo",
                "kind": "echo",
                "models": ["gpt-4o-mini"],
                "in_flight": 0,
                "slots": 500,
                "circuit": "closed",
                "retries_last_minute": 0,
                "circuits": {},
                "error": None,
            }
        ],
        "provider_faults": [],
    }


@pytest.mark.parametrize("path", ["health", "ready", "status"])
def test_wrong_method_and_query(client: FlaskClient, path: str) -> None:
    assert client.post(f"/api/v1/{path}").status_code == 405
    assert client.get(f"/api/v1/{path}?x=1").status_code == 422
