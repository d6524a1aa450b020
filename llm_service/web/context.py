"""What views use: the services of the app, and the caller of the request."""

from collections.abc import Callable, Sequence

from flask import Flask, current_app, g
from flask.ctx import _AppCtxGlobals

from llm_service.core.access.caller import Caller
from llm_service.core.generation.model import ProviderState
from llm_service.core.services import Services

EXTENSION = "llm_service"
# As `http.current`: the proxies' own functions.
_app: Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]
_g: Callable[[], _AppCtxGlobals] = g._get_current_object


def services() -> Services:
    get: Callable[[], Services] = _app().extensions[EXTENSION]
    return get()


def provider_of(model: str, states: Sequence[ProviderState]) -> ProviderState:
    """The provider of a model, as shown; the first one if the providers changed since the model was read."""
    return next((state for state in states if model in state.models), states[0])


def caller() -> Caller:
    """The caller of this request; only for views that require a key."""
    found: Caller | None = _g().caller
    assert found is not None, "a public view asked for its caller"
    return found


def owner() -> str:
    """The owner of the caller's rows."""
    return caller().owner
