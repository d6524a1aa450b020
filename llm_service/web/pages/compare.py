"""The page that compares answers to the same input: it begins them together, and shows any stored ones side by side."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, stream_with_context, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.errors import InputError, NotFound, ServiceError, UnknownTemplate, error_of_code
from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import GenerateRequest, Generation, Status
from llm_service.core.generation.subscriptions import Subscription

from ..context import caller, owner, services
from ..http.connection import disconnect_check
from ..http.errors import log_error, status_of
from ..http.problems import PROBLEMS
from ..http.query import query_args
from ..http.sse import last_event_id, sse_response, watch_key
from .comparison import (
    Choice,
    Comparison,
    Refused,
    beside,
    checked,
    choice_of,
    key_of,
    model_options,
    new_comparison,
    read_comparison,
    read_ids,
    requests_of,
    template_options,
    write_ids,
)  # fmt: skip
from .generate import html_events, shows_history, stored_generation
from .revisions import differ

pages = Blueprint("compare_page", __name__, url_prefix="/compare")
# How often a page without scripts looks whether its caller has left.
WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Column:
    """What a column shows: a generation, or why there is none. `choice` is what was asked for, if that is known."""

    number: int
    generation: Generation | None = None
    error: ServiceError | None = None
    choice: Choice | None = None

    @property
    def title(self) -> str:
        """What was asked: the template, its revision if that is an old one, and the model."""
        if self.generation is None:
            parts = [*self.choice.template.split("@"), self.choice.model] if self.choice else []
        else:
            revision = self.generation.template_revision
            parts = [
                self.generation.template_id,
                "" if _is_current(self.generation) else revision,
                self.generation.model,
            ]
        return f"{self.number}. {' · '.join(part for part in parts if part)}"


@pages.route("")
@query_args("ids", "from", "first", "second")
def show() -> str:
    """`?ids=a,b` shows stored generations; `?from=` fills the form with one's request. `&first=1&second=3` are compared."""
    columns = _columns(_ids()) if shows_history() else []
    stored = next((column.generation for column in columns if column.generation), None) or stored_generation(
        request.args.get("from")
    )
    if stored is None:
        start = Choice(services().templates.default_template.template_id)
        return _page(new_comparison([start, beside(start)]), columns)
    choices = [choice for column in columns if (choice := _choice(column))] or [choice_of(stored)]
    if len(choices) == 1:
        choices.append(beside(choices[0]))
    return _page(new_comparison(choices, stored.input, stored.parameters, stored.options), columns)


@pages.route("", methods=["POST"])
def submit() -> BaseResponse:
    """Begin all columns, and redirect to them: a reload begins nothing. Without scripts, when all are done."""
    comparison = read_comparison(request.form)
    if "choose" in request.form:
        return Response(_page(comparison))
    try:
        requests = requests_of(comparison)
    except InputError as error:
        return _not_started(replace(comparison, form=comparison.form.with_error(error), faults={0: error}))
    comparison = checked(comparison, requests)
    if comparison.faults:
        return _not_started(comparison)
    return _begin(comparison, requests)


@pages.route("/form", methods=["POST"])
def fields() -> str:
    """The fields of the chosen templates, with what was typed so far."""
    return render_template("compare/_fields.html", comparison=read_comparison(request.form))


@pages.route("/difference")
@query_args("ids", "first", "second")
def difference() -> str:
    """What differs between two of the answers, for a script."""
    return render_template("compare/_difference.html", **_difference(_columns(_ids())))


@pages.route("/<request_id>/events")
@query_args("column")
def events(request_id: str) -> Response:
    """Joins a column's generation: its text after `Last-Event-ID` as `delta` events, then the whole column."""
    subscription = services().running.subscribe(owner(), request_id, last_event_id())
    number = request.args.get("column", 1, type=int)

    def ended(generation: Generation, error: ServiceError | None) -> str:
        return render_template("compare/_column.html", column=Column(number, generation, error))

    watch = watch_key()
    return sse_response(subscription, watch, stream_with_context(html_events(subscription, watch, ended)))


def _begin(comparison: Comparison, requests: Mapping[int, GenerateRequest]) -> BaseResponse:
    columns: list[Column] = []
    with ExitStack() as opened:
        begun: dict[int, Subscription] = {}
        for number, asked in requests.items():
            choice, key = comparison.choices[number - 1], key_of(request.form, number)
            try:
                subscription = services().generation.begin(
                    asked, caller(), current_app.config["MAKE_ID"](), detached=True, key=key
                )
            except ServiceError as error:
                log_error(error)
                columns.append(Column(number, error=error, choice=choice))
                continue
            opened.callback(subscription.close)
            begun[number] = subscription
            columns.append(Column(number, subscription.generation))
        if not begun:
            return _not_started(
                replace(comparison, faults={column.number: column.error for column in columns if column.error})
            )
        by_script = "HX-Request" in request.headers
        if not by_script:
            columns = [_finished(column, begun.get(column.number)) for column in columns]
    if not shows_history():
        return Response(_page(comparison, columns))  # no other page can show them
    ids = [column.generation.request_id if column.generation else _refused(column) for column in columns]
    address = url_for(".show", ids=write_ids(ids))
    return Response(headers={"HX-Redirect": address}) if by_script else redirect(address, 303)


def _not_started(comparison: Comparison) -> Response:
    """The form with its faults: the page, or for a script what is new of it."""
    status = status_of(next(iter(comparison.faults.values())))
    if "HX-Request" not in request.headers:
        return Response(_page(comparison), status)
    html = render_template("compare/_setup.html", **_choices(comparison), by_script=True)
    return Response(html, status, headers={"HX-Retarget": "#setup-body", "HX-Reswap": "innerHTML"})


def _finished(column: Column, subscription: Subscription | None) -> Column:
    """Wait until it is done, or its caller has left."""
    gone = disconnect_check()
    result: GenerationResult | None = None
    try:
        while subscription is not None and result is None and not gone():
            result = subscription.result(WAIT_S)
    except ServiceError as error:
        return replace(column, error=error)
    return replace(column, generation=result.generation) if result else column


def _refused(column: Column) -> Refused:
    assert column.error is not None
    assert column.choice is not None
    return Refused(column.error.code, column.choice)


def _ids() -> str:
    return request.args.get("ids", "")


def _columns(ids: str) -> list[Column]:
    return [_stored(number, each) for number, each in enumerate(read_ids(ids), 1)]


def _stored(number: int, column: str | Refused) -> Column:
    if isinstance(column, Refused):
        problem = PROBLEMS.get(column.code) or PROBLEMS["internal-error"]
        return Column(number, error=error_of_code(column.code, problem.meaning), choice=column.choice)
    try:
        return Column(number, services().history.get(owner(), column))
    except NotFound as error:
        return Column(number, error=error)


def _choice(column: Column) -> Choice | None:
    return column.choice or (choice_of(column.generation) if column.generation else None)


def _page(comparison: Comparison, columns: Sequence[Column] = ()) -> str:
    return render_template(
        "compare/index.html",
        columns=columns,
        **_choices(comparison),
        running=sum(1 for column in columns if column.generation and column.generation.status is Status.RUNNING),
        same_input=len({column.generation.input for column in columns if column.generation}) < 2,
        same_parameters=_all_equal(columns, lambda generation: dict(generation.parameters)),
        **_difference(columns),
    )


def _is_current(generation: Generation) -> bool:
    try:
        return services().templates.get(generation.template_id).revision == generation.template_revision
    except UnknownTemplate:
        return False


def _choices(comparison: Comparison) -> dict[str, Any]:
    return {
        "comparison": comparison,
        "template_options": template_options(),
        "model_options": model_options(),
        "live": shows_history(),
    }


def _all_equal(columns: Sequence[Column], part: Callable[[Generation], Any]) -> bool:
    parts = [part(column.generation) for column in columns if column.generation]
    return all(each == parts[0] for each in parts)


def _difference(columns: Sequence[Column]) -> dict[str, Any]:
    """Of two columns that have an answer: those that the address names, else the first two."""
    outputs = {
        column.number: column.generation.output
        for column in columns
        if column.generation and column.generation.output is not None and column.generation.status is not Status.RUNNING
    }
    named = [request.args.get(name, 0, type=int) for name in ("first", "second")]
    chosen = named if named[0] != named[1] and set(named) <= set(outputs) else list(outputs)[:2]
    known = {"ids": _ids(), "numbers": list(outputs), "first": None, "second": None, "difference": None}
    if len(chosen) < 2:
        return known
    first, second = chosen
    return {**known, "first": first, "second": second, "difference": differ(outputs[first], outputs[second])}
