"""The OpenAPI document and Swagger UI, both from this server alone."""

from flask import Blueprint, Response, current_app, json, render_template

docs = Blueprint("docs", __name__)


@docs.route("/openapi.json")
def document() -> Response:
    return Response(json.dumps(current_app.extensions["openapi"](), indent=2), mimetype="application/json")


@docs.route("/docs")
def show() -> str:
    return render_template("docs.html")
