"""The status panel of the top bar: provider, templates, cache."""

from flask import Blueprint, render_template

pages = Blueprint("status_page", __name__)


@pages.route("/status")
def show() -> str:
    return render_template("_status.html")
