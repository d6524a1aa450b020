"""The pages: rendered by the server, usable without JavaScript, updated with HTMX.

An HTML file whose name begins with `_` is a fragment: the page includes it for the first paint, and a URL of its own
returns the same file for later swaps.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from flask import Flask, current_app, g, url_for
from markupsafe import Markup

from llm_service.core.access.caller import Caller, Scope
from llm_service.core.access.sessions import MASK_BYTES
from llm_service.core.history.search import marked
from llm_service.core.services import Services
from llm_service.core.templates.inputs import path_of
from llm_service.core.templates.options import path_of_option
from llm_service.core.templates.properties import plain_number

from ..context import provider_of, services
from ..exports import output_name
from ..http.compression import compress
from ..http.problems import PROBLEMS
from ..http.query import reject_repeated_args
from ..schemas.generation import output_json
from ..security.access_control import CSRF_FIELD
from . import (
    compare,
    generate,
    history,
    login,
    numbers,
    preferences,
    problems,
    revisions,
    status,
    templates,
    times,
    usage,
)
from .code_samples import form_samples
from .forms import field_id, field_label, widget
from .highlight import is_code
from .invisible_characters import invisible_characters, titled
from .labels import LIMIT_LABELS, STATUS_LABELS, THEME_LABELS, incomplete_label, limit_amount, page_remedy, state_label
from .links import linked
from .markdown import to_html, too_long
from .submissions import submission_field

BLUEPRINTS = (
    generate.pages, compare.pages, history.pages, templates.pages, revisions.pages, usage.pages, problems.pages, status.pages,
    login.pages, preferences.pages,
)  # fmt: skip
for _pages in BLUEPRINTS:
    _pages.after_request(compress)
# Longer texts are formatted in a thread: a switch costs as much as formatting a few words.
MAX_CHARS_ON_LOOP = 500
NAVIGATION = (
    ("/", "Generate", Scope.GENERATE),
    ("/templates", "Templates", None),
    ("/history", "History", Scope.HISTORY),
    ("/usage", "Usage", Scope.USAGE),
    ("/docs", "API docs", None),
)


def register(app: Flask) -> None:
    app.before_request(reject_repeated_args)
    for pages in BLUEPRINTS:
        app.register_blueprint(pages)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(asset=asset, may=may)
    app.jinja_env.globals.update(csrf_token=csrf_token, csrf_field=csrf_field, submission_field=submission_field)
    app.jinja_env.filters.update(
        age_ms=age_ms,
        ago=_ago,
        as_json_text=as_json_text,
        code_samples=form_samples,
        columns_of=columns_of,
        field_id=field_id,
        field_label=field_label,
        incomplete_label=incomplete_label,
        limit_amount=limit_amount,
        limit_label=LIMIT_LABELS.get,
        invisible_characters=invisible_characters,
        is_code=is_code,
        linked=linked,
        markdown=_formatted,
        marked=lambda text, search: marked(search, text),
        moment=moment,
        number=number,
        output_json=output_json,
        output_name=output_name,
        page_remedy=page_remedy,
        path_of=path_of,
        path_of_option=path_of_option,
        plain_number=plain_number,
        problem=PROBLEMS.get,
        pretty_json=pretty_json,
        seconds=seconds,
        state_label=state_label,
        status_label=STATUS_LABELS.get,
        titled=titled,
        too_long=too_long,
        widget=widget,
    )
    app.jinja_env.filters.update(
        bound=numbers.bound,
        change=numbers.change,
        compact=numbers.compact,
        error_rate=usage.error_rate_of,
        errors=usage.errors_of,
        exact_usd=numbers.exact_usd,
        hit_rate=usage.hit_rate_of,
        latency=numbers.milliseconds,
        money_of=usage.money_of,
        percent=numbers.percent,
        saved_tokens=usage.saved_tokens,
        usd=numbers.usd,
        usd_per_request=usage.usd_per_request,
    )
    app.context_processor(_layout_context)


def asset(name: str) -> str:
    """The URL of a static file, with a hash of its content: browsers can cache it forever."""
    assert current_app.static_folder is not None
    return url_for("static", filename=name, v=_content_hash(Path(current_app.static_folder) / name))


@cache
def _content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def moment(milliseconds: int) -> str:
    """`2026-11-23 20:15:00`, in UTC; a script converts it to the reader's time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def age_ms(milliseconds: int) -> int:
    """The age by the server's clock, because the reader's clock may be wrong."""
    return max(0, services().clock.now_ms() - milliseconds)


def _ago(milliseconds: int) -> str:
    return times.ago(milliseconds, services().clock.now_ms())


def _formatted(text: str) -> Markup | None:
    """The worst texts take a third of a second."""
    return to_html(text) if len(text) <= MAX_CHARS_ON_LOOP else services().in_thread(partial(to_html, text))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of all rows, each once, in the order of their first row."""
    return list(dict.fromkeys(key for row in rows for key in row))


def pretty_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def as_json_text(value: Any) -> str:
    """A default as people would type it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: int | None) -> str:
    """`1,234`; a dash if unknown, never 0."""
    return "–" if value is None else f"{value:,}"


def seconds(milliseconds: int | None) -> str:
    """`0.84 s`, or `3 ms` for short times."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds} ms" if milliseconds < 100 else f"{milliseconds / 1000:.2f} s"


def may(scope: str) -> bool:
    """Whether the caller has this scope."""
    caller: Caller | None = g.get("caller")
    return caller is not None and caller.may(Scope(scope))


def csrf_token() -> str:
    """The CSRF token of the session, masked once for each response; empty if nobody is signed in."""
    sign_in = g.get("sign_in")
    if sign_in is None:
        return ""
    if "csrf_token" not in g:
        g.csrf_token = sign_in.masked_token(os.urandom(MASK_BYTES))
    return str(g.csrf_token)


def csrf_field() -> Markup:
    """The CSRF token as a hidden form field."""
    token = csrf_token()
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, token) if token else Markup("")


def _providers(has: Services) -> dict[str, Any]:
    """`repeats`: the provider of the default model calls no model."""
    states = has.providers.states()
    of_default = provider_of(has.models.default, states)
    return {
        "provider": of_default.name,
        "repeats": of_default.kind == "echo",
        "from_file": current_app.config["PROVIDERS_FROM_FILE"],
        "providers": states,
        "provider_faults": has.providers.faults,
        "health_error": has.providers.health_error(),
    }


def _layout_context() -> dict[str, Any]:
    """The data of the frame around every page; without a caller only the service's name."""
    frame: dict[str, Any] = {
        "service_name": current_app.config["SERVICE_NAME"],
        "frame": None,
        "themes": THEME_LABELS,
        **{name: preferences.preference(name) for name in preferences.CHOICES},
    }
    caller: Caller | None = g.get("caller")
    if caller is not None:
        has = services()
        frame["frame"] = {
            "env": current_app.config["SERVICE_ENV"],
            "model": has.models.stand_in or has.models.default,
            **_providers(has),
            "templates": len(has.templates),
            "faults": has.template_registry.faults,
            "cache": has.cache.stats(),
            "nav": [(address, label) for address, label, scope in NAVIGATION if scope is None or caller.may(scope)],
            "home": login.landing(caller),
            "signed_in": caller.owner if g.get("sign_in") is not None else None,
            "key_id": caller.key_id,
        }
    return frame
