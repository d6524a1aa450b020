"""All `flask` commands of the service. Each builds only what it needs, so it works where the server would not start."""

from flask import Flask

from .cache import cache
from .db import db
from .generate import generate
from .history import history
from .keys import keys
from .openapi import openapi
from .providers import providers
from .templates import templates
from .usage import usage


def register_commands(app: Flask) -> None:
    # `openapi` replaces flask-smorest's own, which does not know the operations of the templates.
    for command in (cache, db, generate, history, keys, openapi, providers, templates, usage):
        app.cli.add_command(command)
