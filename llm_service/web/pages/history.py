"""The pages of the history: list, search, one generation, exports, deletion."""

import json
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Scope
from llm_service.core.errors import UnknownTemplate

from ..context import caller, owner, services
from ..exports import export_file, output_file
from ..filters import FILTER_NAMES, read_filters
from ..http.problems import PROBLEMS
from ..http.query import query_args
from ..schemas.history import EXPORT_FORMATS
from .labels import STATUS_LABELS

pages = Blueprint("history_page", __name__, url_prefix="/history")
PAGE = 50
FILTER_LABELS = {
    "q": "Search",
    "template_id": "Template",
    "model": "Model",
    "status": "Status",
    "cached": "Cached",
    "since": "From",
    "until": "Before",
}


@pages.route("")
@query_args("cursor", *FILTER_NAMES)
def index() -> str:
    """`?cursor=` comes from the links to older and newer rows; the filters are those of the API."""
    return render_template("history/index.html", **_list(), **_choices())


@pages.route("/rows")
@query_args("cursor", *FILTER_NAMES)
def rows() -> str:
    """The list without the page, for a script."""
    return render_template("history/_rows.html", **_list())


@pages.route("/<request_id>")
def show(request_id: str) -> str:
    generation = services().history.get(owner(), request_id)
    return render_template(
        "history/show.html",
        generation=generation,
        parameters=json.dumps(dict(generation.parameters), ensure_ascii=False, indent=2),
        problem=PROBLEMS.get(generation.error or ""),
        can_reuse=_exists(generation.template_id),
    )


@pages.route("/<request_id>/output.<any(txt, json):format>")
def output(request_id: str, format: str) -> Response:
    return output_file(services().history.get(owner(), request_id), format)


@pages.route(f"/export.<any({', '.join(EXPORT_FORMATS)}):format>")
@query_args(*FILTER_NAMES)
def export(format: str) -> Response:
    """All rows that match the filters of the list."""
    return export_file(services().history.export(owner(), read_filters(request.args)), services().clock, format)


@pages.route("/<request_id>/delete", methods=["POST"])
def delete(request_id: str) -> BaseResponse:
    services().history.delete(owner(), request_id)
    return redirect(url_for(".index"), 303)


@pages.route("/<request_id>/cancel", methods=["POST"])
def cancel(request_id: str) -> BaseResponse:
    services().running.cancel(owner(), request_id)
    shows = caller().may(Scope.HISTORY)
    return redirect(url_for(".show", request_id=request_id) if shows else url_for("generate_page.show"), 303)


@pages.route("/clear", methods=["POST"])
def clear() -> BaseResponse:
    services().history.delete_all(owner())
    return redirect(url_for(".index"), 303)


def address(path: str, given: dict[str, str], **changes: str | None) -> str:
    """A link that keeps the given filters, with changes; None removes a filter."""
    query = {name: value for name, value in {**given, **changes}.items() if value}
    return f"{path}?{urlencode(query)}" if query else path


def _list() -> dict[str, Any]:
    given = {name: text for name in FILTER_NAMES if (text := request.args.get(name, "").strip())}
    filters = read_filters(given)
    page = services().history.page(owner(), request.args.get("cursor"), PAGE, filters)
    return {
        "page": page,
        "given": given,
        "search": filters.search,
        "address": address,
        "filter_labels": FILTER_LABELS,
        "formats": list(EXPORT_FORMATS),
    }


def _choices() -> dict[str, Any]:
    """The options of the filter form: the current ones, with the fallbacks that may have answered, and the chosen one.

    That may belong to older rows only.
    """
    chosen = {name: [text] if (text := request.args.get(name, "").strip()) else [] for name in ("template_id", "model")}
    has = services().models.of(caller())
    models = [has.stand_in or has.default, *has.listed_with_fallbacks]
    return {
        "template_ids": [(name, name) for name in sorted({*services().templates.ids, *chosen["template_id"]})],
        "model_names": [(name, name) for name in dict.fromkeys([*models, *chosen["model"]])],
        "states": [(status.value, label) for status, label in STATUS_LABELS.items()],
    }


def _exists(template_id: str) -> bool:
    try:
        services().templates.get(template_id)
    except UnknownTemplate:
        return False
    return True
