"""The pages: server-rendered, whole without JavaScript, live with HTMX."""

from flask import Flask


def register(app: Flask) -> None: ...
