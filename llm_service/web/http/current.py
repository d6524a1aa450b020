"""The objects behind flask's `request` and `g`.

Each attribute of a proxy is looked up through three functions. What runs for every request takes the object once.
"""

from flask import Request, g, request
from flask.ctx import _AppCtxGlobals


def current_request() -> Request:
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


def current_g() -> _AppCtxGlobals:
    found: _AppCtxGlobals = g._get_current_object()
    return found
