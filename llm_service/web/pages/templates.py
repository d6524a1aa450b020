"""The templates as pages."""

import json

from flask import Blueprint, render_template, request

from llm_service.core.errors import UnknownTemplate

from ..context import services

pages = Blueprint("templates_page", __name__, url_prefix="/templates")


@pages.route("")
def index() -> str:
    return render_template("templates/index.html", templates=list(services().templates))


@pages.route("/<template_id>")
def show(template_id: str) -> str:
    try:
        template = services().templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None
    return render_template(
        "templates/show.html",
        template=template,
        model=services().models.choose(None, template),
        example=json.dumps(template.example(), ensure_ascii=False, indent=2),
        address=request.host_url.rstrip("/"),
    )
