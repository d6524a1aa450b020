"""The pages of the templates: the list, and one template with its inputs, example, call, tests and source."""

from collections.abc import Mapping

from flask import Blueprint, render_template, request

from llm_service.core.access.caller import Scope
from llm_service.core.clock import DAY_MS, HOUR_MS
from llm_service.core.errors import UnknownTemplate
from llm_service.core.messages import Role, text_of
from llm_service.core.templates.model import Template

from ..context import caller, services
from ..http.query import query_args
from .code_samples import example_samples
from .forms import form_of
from .times import ago

pages = Blueprint("templates_page", __name__, url_prefix="/templates")
# The usage before is not looked at: the list must stay cheap.
RECENT_DAYS = 90


@pages.route("")
@query_args("q")
def index() -> str:
    """`?q=`: words that a template's id, name or description contains. The page has all of them, for a script."""
    has = services()
    search = request.args.get("q", "").strip()
    templates = list(has.templates)
    return render_template(
        "templates/index.html",
        templates=templates,
        search=search,
        shown={template.template_id for template in templates if _matches(template, search)},
        last_used=_last_used(),
        faults=has.template_registry.faults,
    )


@pages.route("/<template_id>")
def show(template_id: str) -> str:
    has = services()
    templates = has.templates
    try:
        template = templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None
    example = template.example()  # valid: the loader refuses a file of which none can be made
    messages = template.render(example["input"], example.get("parameters", {}))
    return render_template(
        "templates/show.html",
        template=template,
        bare=templates.bare_name(template),
        faults=[fault for fault in has.template_registry.faults if fault.template_id == template.template_id],
        model=has.models.shown_for(template),
        last_used=_last_used().get(template.template_id),
        form=form_of(template, **example),
        prompts=[(role, text) for role in (Role.SYSTEM, Role.USER) if (text := text_of(messages, role))],
        revisions=has.revisions.used(template.template_id),
        samples=example_samples(template),
    )


def _matches(template: Template, search: str) -> bool:
    text = f"{template.template_id} {template.name} {template.description}".casefold()
    return all(word in text for word in search.casefold().split())


def _last_used() -> Mapping[str, str]:
    """When the caller last used each template, as words; those of `RECENT_DAYS`."""
    if not caller().may(Scope.USAGE):
        return {}
    now_ms = services().clock.now_ms()
    hours = services().usage.last_hours(caller().owner, (now_ms - RECENT_DAYS * DAY_MS) // HOUR_MS)
    return {template_id: used_ago(hour, now_ms) for template_id, hour in hours.items()}


def used_ago(hour: int, now_ms: int) -> str:
    """Uses are known to the hour: it is that of the last one."""
    end_ms = (hour + 1) * HOUR_MS
    return "within the hour" if end_ms > now_ms else ago(min(end_ms, now_ms - HOUR_MS), now_ms)
