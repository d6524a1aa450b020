"""One page per error code; problem documents link to them. Public."""

from flask import Blueprint, abort, render_template

from ..http.problems import PROBLEMS

pages = Blueprint("problems", __name__, url_prefix="/problems")


@pages.route("/<error>")
def show(error: str) -> str:
    if error not in PROBLEMS:
        abort(404)
    return render_template("problems/show.html", code=error, problem=PROBLEMS[error])
