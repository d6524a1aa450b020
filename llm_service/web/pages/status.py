"""The panel of the top bar: how the service is set up, and what is in its cache."""

from flask import Blueprint, render_template

pages = Blueprint("status_page", __name__)


@pages.route("/status")
def show() -> str:
    return render_template("_status.html")
