"""The JSON API under `/api/v1`, as flask-smorest blueprints."""

from flask import Flask

from . import cache, generate, health, history, limits, templates, usage
from .docs import OPENAPI_EXTENSION, OpenApi, docs
from .openapi import make_api, with_scopes


def register(app: Flask) -> None:
    api = make_api(app)
    for module in (generate, templates, history, usage, limits, cache, health):
        api.register_blueprint(module.blp)
    app.extensions[OPENAPI_EXTENSION] = OpenApi(lambda: with_scopes(api.spec.to_dict(), app))
    app.register_blueprint(docs)
