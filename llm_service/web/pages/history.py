"""The history as pages."""

import json

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.errors import UnknownTemplate

from ..context import owner, services
from ..download import export_file, output_file
from ..problems import PROBLEMS

pages = Blueprint("history_page", __name__, url_prefix="/history")
PAGE = 50


@pages.route("")
def index() -> str:
    """`?cursor=` is a page's own link to older or newer entries."""
    page = services().history.page(owner(), request.args.get("cursor"), PAGE)
    return render_template("history/index.html", page=page)


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


@pages.route("/<request_id>/output.txt")
def output(request_id: str) -> Response:
    return output_file(services().history.get(owner(), request_id))


@pages.route("/export.json")
def export() -> Response:
    return export_file(services().history.export(owner()), services().clock)


@pages.route("/<request_id>/delete", methods=["POST"])
def delete(request_id: str) -> BaseResponse:
    services().history.delete(owner(), request_id)
    return redirect(url_for(".index"), 303)


@pages.route("/<request_id>/cancel", methods=["POST"])
def cancel(request_id: str) -> BaseResponse:
    services().live.cancel(owner(), request_id)
    return redirect(url_for(".show", request_id=request_id), 303)


@pages.route("/clear", methods=["POST"])
def clear() -> BaseResponse:
    services().history.delete_all(owner())
    return redirect(url_for(".index"), 303)


def _exists(template_id: str) -> bool:
    try:
        services().templates.get(template_id)
    except UnknownTemplate:
        return False
    return True
