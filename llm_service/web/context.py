"""What a view may reach: the services of its app, and whose request it is."""

from collections.abc import Callable
from typing import cast

from flask import current_app, g

from llm_service.core.access.caller import Caller
from llm_service.core.services import Services

EXTENSION = "llm_service"


def services() -> Services:
    get = cast("Callable[[], Services]", current_app.extensions[EXTENSION])
    return get()


def caller() -> Caller:
    """Whom this request is from; only views behind the access check may ask."""
    assert g.caller is not None, "a view of an open endpoint asked for its caller"
    return cast(Caller, g.caller)


def owner() -> str:
    """The owner of this request's rows."""
    return caller().owner
