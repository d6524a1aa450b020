"""The objects behind flask's `request`, `g` and `current_app`.

Each attribute of a proxy is looked up through three functions. What runs for every request takes the object once.
"""

from collections.abc import Callable

from flask import Flask, Request, current_app, g, request
from flask.ctx import _AppCtxGlobals

# The proxies' own functions: one more around each would be called ten times in a request.
current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]
current_g: Callable[[], _AppCtxGlobals] = g._get_current_object
the_app: Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]
