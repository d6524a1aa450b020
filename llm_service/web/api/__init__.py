"""The JSON API under `/api/v1`, as flask-smorest blueprints."""

from flask import Flask

from . import generate, health, history, limits, templates, usage
from .docs import EXTENSION, OpenApi, docs
from .spec import make_api


def register(app: Flask) -> None:
    api = make_api(app)
    for module in (generate, templates, history, usage, limits, health):
        api.register_blueprint(module.blp)
    app.extensions[EXTENSION] = OpenApi(api.spec.to_dict)
    app.register_blueprint(docs)
