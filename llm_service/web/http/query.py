"""Query arguments. The API refuses unknown and repeated ones: a typo must not silently change what a request means.

Pages ignore unknown ones: mail programs and other sites add theirs to a link.
"""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from flask import current_app, request

from llm_service.core.errors import FieldError, InvalidInput

from .current import current_request

V = TypeVar("V", bound=Callable[..., Any])


def query_args(*names: str) -> Callable[[V], V]:
    """Declare the query arguments of a page's view; `reject_repeated_args` looks at them."""

    def decorate(view: V) -> V:
        view.query_args = frozenset(names)  # type: ignore[attr-defined]
        return view

    return decorate


def reject_repeated_args() -> None:
    """Before each request: refuse arguments that the page's view declares and that are given more than once."""
    if current_request().environ.get("QUERY_STRING"):
        view = current_app.view_functions.get(request.endpoint or "")
        if errors := _repeated(getattr(view, "query_args", ())):
            raise InvalidInput.of(errors)


def _repeated(names: Collection[str]) -> list[FieldError]:
    return [FieldError(name[:64], "is given more than once") for name in names if len(request.args.getlist(name)) > 1]


def reject_unknown_args(allowed: Collection[str] | None) -> None:
    """Raise `InvalidInput` for arguments that are repeated or not among `allowed` (None = any)."""
    errors = _repeated(request.args.keys())
    if allowed is not None:
        errors += [
            FieldError(name[:64], "is not a known query argument") for name in request.args if name not in allowed
        ]
    if errors:
        raise InvalidInput.of(errors)
