"""The pages of used revisions of a template: the source of one, and what differs between two."""

from functools import partial
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.errors import NotFound, UnknownTemplate
from llm_service.core.templates.model import Template

from ..context import services
from ..http.query import query_args
from .text_diff import TextDiff, diff_texts

pages = Blueprint("revisions_page", __name__, url_prefix="/templates")


@pages.route("/<template_id>/revisions/<revision>")
def show(template_id: str, revision: str) -> str:
    """The source of a revision, also of a template whose file is gone."""
    source = services().revisions.source(template_id, revision)
    return render_template("revisions/show.html", revision=revision, source=source, **_known(template_id))


@pages.route("/<template_id>/diff")
@query_args("from", "to")
def diff(template_id: str) -> BaseResponse | str:
    """`?from=` and `&to=` are revisions; without them the newest two."""
    known = _known(template_id)
    revisions = known["revisions"]
    to = request.args.get("to") or (revisions[0] if revisions else "")
    older = [each for each in revisions if each != to]
    before = request.args.get("from") or (older[0] if older else to)
    if not to:
        return redirect(url_for("templates_page.show", template_id=template_id))
    read = partial(services().revisions.source, template_id)
    return render_template("revisions/diff.html", before=before, to=to, diff=differ(read(before), read(to)), **known)


def differ(first: str, second: str) -> TextDiff | None:
    """In a thread: two long texts take a part of a second."""
    return services().in_thread(partial(diff_texts, first, second))


def _known(template_id: str) -> dict[str, Any]:
    """What the pages show of the template: `revisions` are those whose source is known, the current one first."""
    used = services().revisions.used(template_id)
    current = _current(template_id)
    if current is None and not used:
        raise NotFound(f"There is no template {template_id[:64]!r}, and none of its revisions was used.")
    first = [current.revision] if current else []
    return {
        "template_id": template_id,
        "current": current,
        "revisions": [*first, *(each.revision for each in used if each.revision not in first)],
        "first_used_ms": {each.revision: each.first_used_ms for each in used},
    }


def _current(template_id: str) -> Template | None:
    try:
        found = services().templates.get(template_id)
    except UnknownTemplate:
        return None
    return found if found.template_id == template_id else None
