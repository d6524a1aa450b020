"""The pages of the history: list, search, one generation, marks, exports, deletion."""

import json
from itertools import islice

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Scope
from llm_service.core.errors import UnknownTemplate
from llm_service.core.generation.model import GenerationSummary, Status
from llm_service.core.history.model import Filters, MarkChanges
from llm_service.core.history.tags import read_tags, split_tags

from ..context import caller, owner, services
from ..exports import export_file, output_file
from ..filters import FILTER_NAMES
from ..http.query import query_args
from ..schemas.history import EXPORT_FORMATS
from .comparison import MAX_COLUMNS, MIN_COLUMNS
from .history_list import (
    PAGE,
    address,
    choices,
    given_filters,
    list_context,
    page_filters,
    row_context,
    way_back,
    with_notice,
)

pages = Blueprint("history_page", __name__, url_prefix="/history")
# How many of their own tags people see while they type some.
TAGS_NAMED = 12
_FORMAT = f"<any({', '.join(EXPORT_FORMATS)}):format>"


@pages.route("")
@query_args("cursor", "notice", "count", *FILTER_NAMES)
def index() -> str:
    """`?cursor=` comes from the links to older and newer rows; the filters are those of the API.

    `?notice=` tells what an action did.
    """
    return render_template("history/index.html", **list_context(), **choices())


@pages.route("/rows")
@query_args("cursor", *FILTER_NAMES)
def rows() -> str:
    """The list without the page, for a script."""
    return render_template("history/_rows.html", **list_context(), is_fragment=True)


@pages.route("/live")
@query_args("ids", *FILTER_NAMES)
def live() -> str:
    """The rows among `ids` that ended since a script asked last, and the element that asks again for the others."""
    asked = tuple(islice(filter(None, request.args.get("ids", "").split(",")), PAGE))
    found = _summaries(asked)
    running = [row.request_id for row in found if row.status is Status.RUNNING]
    ended = [row for row in found if row.status is not Status.RUNNING]
    return render_template("history/_live.html", running=running, ended=ended, **row_context(given_filters()))


@pages.route("/<request_id>")
@query_args(*FILTER_NAMES)
def show(request_id: str) -> str:
    """The filters are those of the list that the reader came from: they choose the entries before and after."""
    generation = services().history.get(owner(), request_id)
    given = given_filters()
    previous, following = services().history.neighbours(owner(), request_id, page_filters(given))
    return render_template(
        "history/show.html",
        generation=generation,
        parameters=json.dumps(dict(generation.parameters), ensure_ascii=False, indent=2),
        can_reuse=_exists(generation.template_id),
        previous=previous,
        following=following,
        used_tags=[tag for tag, _ in services().history.used_tags(owner())[:TAGS_NAMED]],
        here=address(f"/history/{request_id}", given),
        **row_context(given),
    )


@pages.route("/<request_id>/output.<any(txt, json):format>")
def output(request_id: str, format: str) -> Response:
    return output_file(services().history.get(owner(), request_id), format)


@pages.route(f"/export.{_FORMAT}")
@query_args("bom", *FILTER_NAMES)
def export(format: str) -> Response:
    """All rows that match the filters of the list. `?bom=1` as in the API."""
    generations = services().history.export(owner(), page_filters(given_filters()))
    return export_file(generations, services().clock, format, bom=request.args.get("bom") == "1")


@pages.route(f"/selected/export.{_FORMAT}", methods=["POST"])
def export_selected(format: str) -> BaseResponse:
    """The rows that are selected in the list. From a page, a CSV is for a spreadsheet."""
    if not (selected := _selected()):
        return redirect(with_notice(way_back(), "nothing-selected"), 303)
    generations = services().history.export(owner(), Filters(request_ids=selected))
    return export_file(generations, services().clock, format, bom=True)


@pages.route("/selected/delete", methods=["POST"])
def delete_selected() -> BaseResponse:
    if not (selected := _selected()):
        return redirect(with_notice(way_back(), "nothing-selected"), 303)
    deleted = services().history.delete_selected(owner(), selected)
    return redirect(with_notice(way_back(), "deleted", deleted), 303)


@pages.route("/selected/compare", methods=["POST"])
def compare_selected() -> BaseResponse:
    """Leads to the page that shows the selected rows side by side."""
    selected = _selected()
    if not MIN_COLUMNS <= len(selected) <= MAX_COLUMNS:
        return redirect(with_notice(way_back(), "select-2-to-4"), 303)
    return redirect(url_for("compare_page.show", ids=",".join(selected)), 303)


@pages.route("/<request_id>/star", methods=["POST"])
def star(request_id: str) -> BaseResponse:
    """`starred` is 1 or 0. A script gets the button as it is now."""
    starred = request.form.get("starred") == "1"
    services().history.mark(owner(), request_id, MarkChanges(starred=starred), services().clock.now_ms())
    if "HX-Request" in request.headers:
        return Response(render_template("history/_star.html", request_id=request_id, starred=starred))
    return redirect(way_back(), 303)


@pages.route("/<request_id>/tags", methods=["POST"])
def tag(request_id: str) -> BaseResponse:
    """`tags`: all of them, with commas between."""
    tags = read_tags("tags", split_tags(request.form.get("tags", "")))
    services().history.mark(owner(), request_id, MarkChanges(tags=tags), services().clock.now_ms())
    return redirect(way_back(url_for(".show", request_id=request_id)), 303)


@pages.route("/<request_id>/delete", methods=["POST"])
def delete(request_id: str) -> BaseResponse:
    services().history.delete(owner(), request_id)
    return redirect(with_notice(way_back(), "deleted", 1), 303)


@pages.route("/<request_id>/cancel", methods=["POST"])
def cancel(request_id: str) -> BaseResponse:
    services().running.cancel(owner(), request_id)
    shows = caller().may(Scope.HISTORY)
    return redirect(url_for(".show", request_id=request_id) if shows else url_for("generate_page.show"), 303)


@pages.route("/clear", methods=["POST"])
def clear() -> BaseResponse:
    services().history.delete_all(owner())
    return redirect(with_notice(url_for(".index"), "cleared"), 303)


def _selected() -> tuple[str, ...]:
    """The ids of the selected rows; a page has no more than `PAGE`."""
    return tuple(dict.fromkeys(request.form.getlist("id")[:PAGE]))


def _summaries(request_ids: tuple[str, ...]) -> list[GenerationSummary]:
    if not request_ids:
        return []
    return list(services().history.page(owner(), limit=PAGE, filters=Filters(request_ids=request_ids)).items)


def _exists(template_id: str) -> bool:
    try:
        services().templates.get(template_id)
    except UnknownTemplate:
        return False
    return True
