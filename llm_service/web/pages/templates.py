"""The pages of the templates: the list, and one template with its inputs, call, tests and source."""

from flask import Blueprint, render_template

from llm_service.core.errors import UnknownTemplate

from ..context import services
from .code_samples import example_samples

pages = Blueprint("templates_page", __name__, url_prefix="/templates")


@pages.route("")
def index() -> str:
    has = services()
    return render_template("templates/index.html", templates=list(has.templates), faults=has.template_registry.faults)


@pages.route("/<template_id>")
def show(template_id: str) -> str:
    has = services()
    templates = has.templates
    try:
        template = templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None
    return render_template(
        "templates/show.html",
        template=template,
        bare=templates.bare_name(template),
        faults=[fault for fault in has.template_registry.faults if fault.template_id == template.template_id],
        model=has.models.shown_for(template),
        samples=example_samples(template),
    )
