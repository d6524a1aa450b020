"""Query arguments that nobody declared, or that stand there twice, are refused: a typing error must not be a filter."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from flask import current_app, request

from llm_service.core.errors import FieldError, InvalidInput

V = TypeVar("V", bound=Callable[..., Any])


def takes(*names: str) -> Callable[[V], V]:
    """Declare the query arguments of a page's view; `refuse_unknown` refuses others."""

    def decorate(view: V) -> V:
        view.query_names = frozenset(names)  # type: ignore[attr-defined]
        return view

    return decorate


def refuse_unknown() -> None:
    """Before each request: views of pages that declare arguments take no others."""
    if request.environ.get("QUERY_STRING"):
        view = current_app.view_functions.get(request.endpoint or "")
        refuse_query(getattr(view, "query_names", None))


def refuse_query(allowed: Collection[str] | None) -> None:
    """Raise `InvalidInput` for arguments that stand there twice or are not among `allowed` (None = any)."""
    errors = [FieldError(name[:64], "stands there twice") for name, values in request.args.lists() if len(values) > 1]
    if allowed is not None:
        errors += [
            FieldError(name[:64], "is not an argument of this address") for name in request.args if name not in allowed
        ]
    if errors:
        raise InvalidInput.of(errors)
