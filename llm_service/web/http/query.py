"""Unknown and repeated query arguments are refused: a typo must not silently change what a request means."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from flask import current_app, request

from llm_service.core.errors import FieldError, InvalidInput

V = TypeVar("V", bound=Callable[..., Any])


def query_args(*names: str) -> Callable[[V], V]:
    """Declare the query arguments of a page's view; `reject_undeclared_args` refuses all others."""

    def decorate(view: V) -> V:
        view.query_args = frozenset(names)  # type: ignore[attr-defined]
        return view

    return decorate


def reject_undeclared_args() -> None:
    """Before each request: refuse arguments that the page's view does not declare."""
    if request.environ.get("QUERY_STRING"):
        view = current_app.view_functions.get(request.endpoint or "")
        reject_unknown_args(getattr(view, "query_args", None))


def reject_unknown_args(allowed: Collection[str] | None) -> None:
    """Raise `InvalidInput` for arguments that are repeated or not among `allowed` (None = any)."""
    errors = [
        FieldError(name[:64], "is given more than once") for name, values in request.args.lists() if len(values) > 1
    ]
    if allowed is not None:
        errors += [
            FieldError(name[:64], "is not a known query argument") for name in request.args if name not in allowed
        ]
    if errors:
        raise InvalidInput.of(errors)
