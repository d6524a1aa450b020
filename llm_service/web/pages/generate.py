"""The main page: choose a template, fill its form, see the answer."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, redirect, render_template, request, stream_with_context, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Scope
from llm_service.core.access.key_watch import KeyWatch
from llm_service.core.errors import InputError, NotFound, ServiceError, UnknownTemplate
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import Delta, Generation, Status
from llm_service.core.generation.models import AllowedModels
from llm_service.core.generation.subscriptions import Subscription
from llm_service.core.templates.model import Template

from ..context import caller, owner, services
from ..http.connection import disconnect_check
from ..http.errors import log_error, problem_of, status_of
from ..http.query import query_args
from ..http.sse import (
    PING_EVENT,
    html_event,
    json_event,
    last_event_id,
    sse_response,
    subscription_events,
    watch_key,
)
from .forms import Form, chosen_model, form_of, read_form
from .submissions import submission_key

pages = Blueprint("generate_page", __name__)
RECENT = 8


@pages.route("/")
@query_args("template", "example", "from")
def show() -> str:
    """`?template=` chooses a template, `&example=` fills in its example; `?from=` shows a generation and its inputs."""
    generation = stored_generation(request.args.get("from"))
    template = _template(request.args.get("template") or (generation.template_id if generation else None))
    if generation:
        return _page(_form_with(generation, template), generation)
    return _page(form_of(template, **template.example()) if "example" in request.args else Form(template))


@pages.route("/", methods=["POST"])
def submit() -> BaseResponse:
    """The form without JavaScript. Redirects after an answer, so a reload does not generate and pay again."""
    form = read_form(_template(request.form.get("template_id")), request.form)
    if "choose" in request.form:
        return Response(_page(form))
    if "preview" in request.form:
        return Response(_page(form, **_previewed(form)))
    try:
        generation = _run(form)
    except ServiceError as error:
        log_error(error)
        # The history has the generation, and its text so far, if it began.
        return Response(_page(form.with_error(error), stored_generation(g.request_id), error), status_of(error))
    if not shows_history():
        return Response(_page(form, generation))  # no other page can show it
    return redirect(f"{url_for('.show')}?from={generation.request_id}", 303)


def refilled(typed: MultiDict[str, str]) -> str:
    """The page with what was typed; with the first template if that of the form is gone."""
    try:
        template = _template(typed.get("template_id"))
    except UnknownTemplate:
        template = services().templates.default_template
    return _page(read_form(template, typed))


@pages.route("/generate/answer", methods=["POST"])
def answer() -> Response:
    """A fragment for a script: the answer, the form's field errors and the recent generations.

    A running generation is joined at its `events`. Where a caller may not, or where its text would be gone by then, this
    is a stream itself: of fragments, with `delta` events in between that carry pieces of the text.
    """
    form = read_form(_template(request.form.get("template_id")), request.form)
    try:
        key = submission_key(request.form)
        subscription = services().generation.begin(form.request(), caller(), g.request_id, detached=True, key=key)
    except ServiceError as error:
        log_error(error)
        html = render_template("generate/_answered.html", **_context(form.with_error(error), None, error))
        return Response(html, status_of(error))
    if subscription.generation.status is not Status.RUNNING:
        g.quiet = True
        return Response(_answered(form, subscription.generation, None))
    if shows_history():
        subscription.close()
        return Response(_answered(form, subscription.generation, None, join=True))
    running = render_template("generate/_answered.html", **_context(form, subscription.generation, None))
    watch = watch_key()
    heard = html_events(subscription, watch, lambda generation, error: _answered(form, generation, error))
    return sse_response(subscription, watch, stream_with_context(_with_first(running, heard)))


@pages.route("/generate/again", methods=["POST"])
def again() -> BaseResponse:
    """A stored request once more, without the cache, and with another `model` if one is given."""
    # A refusal shows the stored texts in the form.
    if not caller().may(Scope.HISTORY):
        raise NotFound('Stored requests are not there for a key without the "history" scope.')
    stored = services().history.get(owner(), request.form.get("request_id", ""))
    form = replace(_form_with(stored), fresh=True)
    form = replace(form, model=request.form.get("model") or form.model)
    try:
        key = submission_key(request.form)
        begin = services().generation.begin
        with closing(begin(form.request(), caller(), g.request_id, detached=True, key=key)) as begun:
            return redirect(f"{url_for('.show')}?from={begun.generation.request_id}", 303)
    except ServiceError as error:
        log_error(error)
        return Response(_page(form.with_error(error), error=error), status_of(error))


@pages.route("/generate/<request_id>/events")
def events(request_id: str) -> Response:
    """Joins a generation: its text after `Last-Event-ID` as `delta` events, then the answer's fragment."""
    subscription = services().running.subscribe(owner(), request_id, last_event_id())

    def ended(generation: Generation, error: ServiceError | None) -> str:
        return render_template("generate/_joined.html", **_shown(generation, error), recent=_recent())

    watch = watch_key()
    return sse_response(subscription, watch, stream_with_context(html_events(subscription, watch, ended)))


@pages.route("/generate/form", methods=["POST"])
def fields() -> str:
    """The fields and controls of another template, with the text typed so far."""
    g.quiet = True
    form = read_form(_template(request.form.get("template_id")), request.form)
    return render_template("generate/_form.html", form=form, models=_models())


@pages.route("/generate/preview", methods=["POST"])
def preview() -> str:
    """The prompts that would be sent and their maximum cost; requested while people type."""
    g.quiet = True
    form = read_form(_template(request.form.get("template_id")), request.form)
    return render_template("generate/_preview.html", form=form, **_previewed(form))


@pages.route("/generate/payload", methods=["POST"])
def payload() -> str:
    """The body of the same API request."""
    g.quiet = True
    form = read_form(_template(request.form.get("template_id")), request.form)
    return render_template("generate/_payload.html", form=form)


@pages.route("/generate/recent")
def recent() -> str:
    """The most recent generations."""
    return render_template("generate/_recent.html", recent=_recent())


def _form_with(generation: Generation, template: Template | None = None) -> Form:
    """The form of a stored request; with its model, if that is not the default."""
    template = template or _template(generation.template_id)
    chosen = chosen_model(generation, template, _models())
    return form_of(template, generation.input, generation.parameters, chosen, generation.options)


def _run(form: Form) -> Generation:
    finished = services().generation.run(
        form.request(), caller(), g.request_id, detached=True, key=submission_key(request.form)
    )
    g.quiet = finished.generation.cached
    return finished.generation


def _with_first(html: str, heard: Iterator[str]) -> Iterator[str]:
    yield html_event(html)
    yield from heard


def html_events(
    subscription: Subscription, watch: KeyWatch, ended: Callable[[Generation, ServiceError | None], str]
) -> Iterator[str]:
    """The text as `delta` events, then what `ended` makes of the generation and the error that ended it."""
    for event in subscription_events(subscription, disconnect_check(), watch):
        if isinstance(event, Delta):
            yield json_event({"text": event.text}, "delta", subscription.position)
        elif isinstance(event, GenerationResult):
            yield html_event(ended(event.generation, None))
        elif watch.ended and isinstance(event, ServiceError):
            # The key is no longer valid: the last event must not show what needs a permission.
            g.caller = replace(caller(), scopes=frozenset())
            yield html_event(ended(subscription.generation, event))
        elif isinstance(event, ServiceError):
            # With the partial answer that the history has.
            yield html_event(
                ended(stored_generation(subscription.generation.request_id) or subscription.generation, event)
            )
        else:
            yield PING_EVENT


def shows_history() -> bool:
    """Whether the caller can see a generation, with its text, at another address than the one that began it."""
    return services().history.keeps == "full" and caller().may(Scope.HISTORY)


def _answered(form: Form, generation: Generation, error: ServiceError | None, *, join: bool = False) -> str:
    context = _context(form.with_error(error) if error else form, generation, error)
    return render_template("generate/_answered.html", **context, join=join)


def _shown(generation: Generation | None, error: ServiceError | None) -> dict[str, Any]:
    return {
        "generation": generation,
        "error": error,
        "problem": problem_of(error) if error else None,
        "others": _others(generation) if generation else [],
    }


def _page(form: Form, generation: Generation | None = None, error: ServiceError | None = None, **more: Any) -> str:
    return render_template("generate/index.html", **_context(form, generation, error), **more)


def _previewed(form: Form) -> dict[str, Any]:
    try:
        return {"preview": services().preview.preview(form.request(), caller()), "preview_error": None}
    except InputError as error:
        return {"preview": None, "preview_error": error}


def _context(form: Form, generation: Generation | None, error: ServiceError | None) -> dict[str, Any]:
    return {
        **_shown(generation, error),
        "form": form,
        "templates": list(services().templates),
        "models": _models(),
        "recent": _recent(),
    }


def _recent() -> Any:
    return services().history.page(owner(), limit=RECENT).items if caller().may(Scope.HISTORY) else []


def _others(generation: Generation) -> list[str]:
    """The other models that may be asked the same."""
    models = _models()
    with suppress(UnknownTemplate):
        template = services().templates.get(generation.template_id)
        return [] if models.stand_in else sorted(models.allowed_for(template) - {generation.model})
    return []


def _models() -> AllowedModels:
    return services().models.of(caller())


def _template(template_id: str | None) -> Template:
    """The template with this id, or the first one to show."""
    if not template_id:
        return services().templates.default_template
    try:
        return services().templates.get(template_id)
    except UnknownTemplate:
        raise UnknownTemplate(template_id, in_path=True) from None


def stored_generation(request_id: str | None) -> Generation | None:
    """None if there is none, or the caller may not see it."""
    if not request_id or not caller().may(Scope.HISTORY):
        return None
    try:
        return services().history.get(owner(), request_id)
    except NotFound:
        return None
