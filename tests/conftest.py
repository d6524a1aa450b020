"""Fixtures that many tests share: settings, apps over real SQLite files, and the provider to test against."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from llm_service.adapters.prompt_files import PromptFolder
from llm_service.app import create_app, services_of
from llm_service.core.library import Library, TemplateFault
from llm_service.core.templates import TemplateSet
from llm_service.settings import Settings
from tests.upstream import Upstream

ROOT = Path(__file__).resolve().parent.parent
# A template that has everything that a template can have.
TEST_PROMPTS = ROOT / "tests" / "prompts"
# What a browser says when a form of our own page is sent.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
KEY_CANARY = "sk-canary-0123456789abcdef"


class Heard:
    """What a library reported: `changes` as ids, `refusals` as texts, `unkept` as errors."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.refusals: list[list[str]] = []
        self.unkept: list[OSError] = []

    def templates_changed(self, templates: TemplateSet) -> None:
        self.changes.append(templates.ids)

    def templates_refused(self, faults: Sequence[TemplateFault]) -> None:
        self.refusals.append([fault.shown for fault in faults])

    def templates_not_kept(self, error: OSError) -> None:
        self.unkept.append(error)


def library_of(folder: Path = ROOT / "prompts", heard: Heard | None = None) -> Library:
    return Library(PromptFolder(folder, default_max_chars=5000), heard or Heard())


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
def _upstream_app(make_app: Callable[..., Flask], upstream: Upstream) -> Flask:
    """With the OpenAI adapter in front of the test provider; any model may be asked for."""
    return make_app(
        OPENAI_API_KEY=KEY_CANARY,
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal," + ",".join(FAULT_MODELS),
        APP_DEADLINE_S="1.5",
        APP_IDLE_TIMEOUT_S="0.6",
    )


def fault_models() -> list[str]:
    """The names in the upstream's own table, with statuses spelled out."""
    from tests import upstream

    words = (upstream.__doc__ or "").replace("fault-STATUS", "").split()
    statuses = [f"fault-{status}" for status in (400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 529)]
    return sorted({word for word in words if word.startswith("fault-")} | set(statuses))


FAULT_MODELS = fault_models()


def needed_program(name: str, *places: str) -> str:
    """The path of a program that a test drives; without it the test is skipped, or fails under CI=true."""
    found = shutil.which(name) or next((place for place in places if os.path.exists(place)), None)
    if found is None:
        message = f"{name} is not installed: run `make test` as root, or install its Debian package"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    return found
