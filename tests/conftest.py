"""Fixtures that many tests share: settings, apps over real SQLite files, and the provider to test against."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.app import create_app, services_of
from llm_service.bootstrap.settings import Settings
from tests.support.constants import KEY_CANARY, ROOT
from tests.support.upstream import FAULT_MODELS, Upstream
from tests.support.upstream_faults import patience_with


@pytest.fixture(scope="session", name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="make_app")
def _make_app(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Makes apps from settings by name; their services are closed at the end."""
    apps: list[Flask] = []

    def make(**environ: str) -> Flask:
        base = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db", "APP_PROMPTS_DIR": str(ROOT / "prompts")}
        app = create_app(Settings.from_env({**base, **environ}))
        services_of(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        services_of(app).close()


@pytest.fixture(name="app")
def _app(make_app: Callable[..., Flask]) -> Flask:
    """With the echo provider."""
    return make_app()


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(name="upstream_app")
def _upstream_app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    """With the OpenAI adapter in front of the test provider; any model may be asked for.

    A test that has a `model` gets the patience that it needs.
    """
    model = request.node.callspec.params.get("model", "normal") if hasattr(request.node, "callspec") else "normal"
    patience = patience_with(model)
    return make_app(
        OPENAI_API_KEY=KEY_CANARY,
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal," + ",".join(FAULT_MODELS),
        APP_DEADLINE_S=str(patience.deadline_s),
        APP_IDLE_TIMEOUT_S=str(min(patience.idle_s, patience.deadline_s)),
    )
