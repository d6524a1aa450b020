"""What is compared: two to four columns, each a template (perhaps in an old revision) with a model, over one form."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from werkzeug.datastructures import MultiDict

from llm_service.core.errors import FieldError, InputError, InvalidInput, ServiceError, UnknownTemplate
from llm_service.core.generation.model import GenerateRequest, Generation, IdempotencyKey
from llm_service.core.generation.models import AllowedModels
from llm_service.core.templates.inputs import path_of
from llm_service.core.templates.model import Template

from ..context import caller, services
from .forms import Form, chosen_model, form_of, read_form
from .submissions import submission_key

MIN_COLUMNS, MAX_COLUMNS = 2, 4
# Old revisions of a template that can be chosen.
MAX_REVISIONS = 10
_REQUEST_ID = re.compile(r"[0-9a-f-]{36}")


class Choice(NamedTuple):
    """What the fields of a column have. `template`: an id, or `id@revision` for an old one. `model` may be empty."""

    template: str
    model: str = ""

    @property
    def template_id(self) -> str:
        return self.template.partition("@")[0]

    @property
    def revision(self) -> str | None:
        return self.template.partition("@")[2] or None


@dataclass(frozen=True)
class Comparison:
    """The page's form. `choices` has `MAX_COLUMNS`, unused ones with an empty template. `faults` are by column."""

    form: Form
    choices: Sequence[Choice]
    faults: Mapping[int, ServiceError]

    @property
    def used(self) -> Iterator[tuple[int, Choice]]:
        return ((number, choice) for number, choice in enumerate(self.choices, 1) if choice.template)


class Refused(NamedTuple):
    """A column that did not begin, and the code of the reason."""

    code: str
    choice: Choice


def new_comparison(
    choices: Sequence[Choice],
    input: str = "",
    parameters: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Comparison:
    return Comparison(form_of(_united(choices), input, parameters, options=options), _filled(choices), {})


def read_comparison(typed: MultiDict[str, str]) -> Comparison:
    """The form that a browser sent."""
    choices = [
        Choice(typed.get(f"template_{number}", ""), typed.get(f"model_{number}", ""))
        for number in range(1, MAX_COLUMNS + 1)
    ]
    return Comparison(read_form(_united(choices), typed), choices, {})


def requests_of(comparison: Comparison) -> dict[int, GenerateRequest]:
    """The request of each column. Raises `InvalidInput` if the form has no two columns."""
    base, shown = comparison.form.request(), comparison.form.template
    if sum(1 for _ in comparison.used) < MIN_COLUMNS:
        raise InvalidInput.of([FieldError("template_2", "choose a template. A comparison needs two columns.")])
    return {
        number: replace(
            base,
            template_id=choice.template_id,
            parameters=_own(base.parameters, _template(choice), shown),
            model=choice.model or None,
            options={name: value for name, value in base.options.items() if name in _template(choice).overridable},
            revision=choice.revision,
        )
        for number, choice in comparison.used
    }


def checked(comparison: Comparison, requests: Mapping[int, GenerateRequest]) -> Comparison:
    """With the faults of the columns that cannot begin. Nothing is paid unless all can."""
    faults: dict[int, ServiceError] = {}
    for number, request in requests.items():
        try:
            services().preview.preview(request, caller())
        except InputError as error:
            faults[number] = _in_column(error, number)
    # Once each: the columns share the form.
    fields = list(dict.fromkeys(fault for error in faults.values() for fault in error.fields))
    form = comparison.form.with_error(InvalidInput.of(fields)) if fields else comparison.form
    return replace(comparison, form=form, faults=faults)


def _in_column(error: InputError, number: int) -> InputError:
    """The error with the names of the column's own fields."""
    own = {"template_id": f"template_{number}", "revision": f"template_{number}", "model": f"model_{number}"}
    return InvalidInput(
        error.detail, fields=[FieldError(own.get(fault.field, fault.field), fault.message) for fault in error.fields]
    )


def key_of(typed: MultiDict[str, str], number: int) -> IdempotencyKey | None:
    """The same form sent twice (a double click, a reload) makes no second call for a column."""
    whole = submission_key(typed)
    if whole is None:
        return None
    digest = hashlib.sha256(f"{whole.key} {number}".encode()).hexdigest()
    return IdempotencyKey(whole.route, digest, digest)


def write_ids(columns: Sequence[str | Refused]) -> str:
    """The columns as the page's address has them."""
    texts = (
        column if isinstance(column, str) else ":".join(quote(part, safe="") for part in (column.code, *column.choice))
        for column in columns
    )
    return ",".join(texts)


def read_ids(text: str) -> list[str | Refused]:
    columns: list[str | Refused] = []
    for part in text.split(",")[:MAX_COLUMNS]:
        pieces = [unquote(piece) for piece in part.split(":")]
        if len(pieces) == 3:
            columns.append(Refused(pieces[0], Choice(*pieces[1:])))
        elif _REQUEST_ID.fullmatch(part):
            columns.append(part)
    return columns


def choice_of(generation: Generation) -> Choice:
    """The column that repeats a generation: in its own revision, if that can still be run."""
    try:
        template = services().templates.get(generation.template_id)
    except UnknownTemplate:
        return Choice(services().templates.default_template.template_id)
    used = {each.revision for each in services().revisions.used(template.template_id)}
    is_old = generation.template_revision != template.revision and generation.template_revision in used
    chosen = chosen_model(generation, template, _models())
    return Choice(f"{template.template_id}@{generation.template_revision}" if is_old else template.template_id, chosen)


def beside(choice: Choice) -> Choice:
    """What one would compare with it first: another model, else the template's last other revision."""
    models, template = _models(), _template(choice)
    first = choice.model or models.default_for(template)
    others = [] if models.stand_in else sorted(models.allowed_for(template) - {first})
    if others:
        return Choice(choice.template, "" if models.default_for(template) in others else others[0])
    current = services().templates.get(template.template_id)
    revisions = [current.revision, *(each.revision for each in services().revisions.used(template.template_id))]
    other = next((revision for revision in revisions if revision != template.revision), None)
    is_old = other is not None and other != current.revision
    return Choice(f"{template.template_id}@{other}" if is_old else template.template_id, choice.model)


def template_options() -> list[tuple[str, str]]:
    """What a column can choose: each template, and behind it its old revisions."""
    used = services().revisions.used()
    names = Counter(template.name for template in services().templates)
    options: list[tuple[str, str]] = []
    for template in services().templates:
        is_unique = names[template.name] == 1
        name = template.name if is_unique else f"{template.name} ({template.template_id})"
        options.append((template.template_id, name))
        own = [each for each in used if each.template_id == template.template_id]
        options += [
            (f"{template.template_id}@{each.revision}", f"{name}, revision {each.revision}")
            for each in own[:MAX_REVISIONS]
            if each.revision != template.revision
        ]
    return options


def model_options() -> list[str]:
    """Of all templates; empty if there is nothing to choose."""
    models = _models()
    names = {name for template in services().templates for name in models.allowed_for(template)}
    return sorted(names) if len(names) > 1 else []


def _united(choices: Sequence[Choice]) -> Template:
    """The first column's template, with the inputs that only others have. Its id names all of them."""
    templates = [_template(choice) for choice in choices if choice.template] or [services().templates.default_template]
    inputs = {prop.name: prop for template in reversed(templates) for prop in template.inputs}
    first = [prop.name for prop in templates[0].inputs]
    ids = "+".join(dict.fromkeys(template.template_id for template in templates))
    return replace(
        templates[0], template_id=ids, inputs=tuple(inputs[name] for name in dict.fromkeys([*first, *inputs]))
    )


def _template(choice: Choice) -> Template:
    """The nearest that can be shown, if it is gone or can no longer be loaded: to check a request says so."""
    try:
        current = services().templates.get(choice.template_id)
        return current if choice.revision is None else services().revisions.template(*choice.template.split("@", 1))
    except UnknownTemplate:
        return services().templates.default_template
    except InvalidInput:
        return current


def _own(parameters: Mapping[str, Any], template: Template, shown: Template) -> dict[str, Any]:
    """The values that a column's template has. A value that only the shown field allows, of another template, is left out."""
    fields, own = ({prop.name: prop for prop in each.parameters} for each in (shown, template))

    def fits(name: str, value: Any) -> bool:
        prop = own[name]
        return prop == fields[name] or prop.required or not list(prop.check(value, path_of(prop)))

    return {name: value for name, value in parameters.items() if name in own and fits(name, value)}


def _filled(choices: Sequence[Choice]) -> list[Choice]:
    return [*choices, *[Choice("")] * MAX_COLUMNS][:MAX_COLUMNS]


def _models() -> AllowedModels:
    return services().models.of(caller())
