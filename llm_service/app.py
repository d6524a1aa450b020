"""The application factory."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask import Request as FlaskRequest
from flask import Response as FlaskResponse
from flask.sessions import NullSession, SecureCookieSession, SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from llm_service.bootstrap.build import build_services, make_id
from llm_service.bootstrap.settings import Settings
from llm_service.bootstrap.start_checks import CHECKOUT
from llm_service.cli.register import register_commands
from llm_service.core.services import Services
from llm_service.web import api, pages
from llm_service.web.context import EXTENSION
from llm_service.web.http.errors import register_error_handlers
from llm_service.web.http.hooks import register_hooks
from llm_service.web.http.request import MAX_FORM_BYTES, Request
from llm_service.web.http.response import Response
from llm_service.web.http.static_files import StaticFiles
from llm_service.web.security.access_control import register_access

_NO_SESSION = NullSession()


class NoSessions(SessionInterface):
    """Flask's own sessions are not used; it would make an empty one for each request."""

    def open_session(self, app: Flask, request: FlaskRequest) -> SecureCookieSession:
        return _NO_SESSION


class App(Flask):
    request_class = Request
    response_class = Response
    session_interface = NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Flask looks at each function whether it is a coroutine, seven times in a request. None is."""
        return func

    def send_static_file(self, filename: str) -> FlaskResponse:
        files: StaticFiles = self.config["STATIC_FILES"]
        return files.send(filename)


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> Flask:
    """The WSGI app. The default for `settings` is the environment and `.env`.

    Services are opened on first use (`services_of`), so commands can run where the server would not start. A caller
    that passes `services` closes them.
    """
    settings = settings or Settings.load(os.environ)
    app = App("llm_service", root_path=str(CHECKOUT), template_folder="templates_html", static_folder="static")
    app.config.update(
        SETTINGS=settings,
        SERVICE_NAME=settings.name,
        SERVICE_ENV=settings.env,
        PROVIDERS_FROM_FILE=settings.providers_file is not None,
        PROXY_HOPS=settings.proxy_hops,
        OPEN_ON_LOOPBACK=settings.needs_key is None,
        TRUSTED_NAMES=list(settings.trusted_hosts),
        MAKE_ID=make_id,
        STATIC_FILES=StaticFiles(str(CHECKOUT / "static")),
        STARTED_MONOTONIC=time.monotonic(),
        # For forms; JSON bodies have their own limit (web.http.strict_json).
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = _opened_once(settings, services)
    if settings.proxy_hops:
        # Not for the client's address, which web.security reads itself: ProxyFix interprets quotes in it.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=settings.proxy_hops)  # type: ignore[method-assign]
    register_hooks(app)
    register_access(app)
    register_error_handlers(app)
    api.register(app)
    pages.register(app)
    register_commands(app)
    return app


def services_of(app: Flask) -> Services:
    """The app's services, opened if needed.

    Raises `StartError`.
    """
    get: Callable[[], Services] = app.extensions[EXTENSION]
    return get()


def _opened_once(settings: Settings, services: Services | None) -> Callable[[], Services]:
    opened, lock = services, threading.Lock()

    def get() -> Services:
        nonlocal opened
        if opened is None:
            with lock:
                opened = opened or build_services(settings)
        return opened

    return get
