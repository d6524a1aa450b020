"""The pages: server-rendered, whole without JavaScript, live with HTMX.

A template whose name begins with `_` is a fragment: the page includes it for the first paint, and a URL of its own
gives the same file for later swaps.
"""

import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, current_app, g, url_for
from markupsafe import Markup

from llm_service.core.access.caller import Caller, Scope
from llm_service.core.history.search import marked
from llm_service.core.templates.inputs import path_of
from llm_service.core.templates.properties import plain_number

from ..context import services
from ..http.query import reject_undeclared_args
from ..schemas.generation import output_json
from ..security.access_control import CSRF_FIELD
from . import generate, history, login, numbers, problems, status, templates, usage
from .forms import field_id, widget
from .invisible_characters import invisible_characters, titled
from .labels import LIMIT_LABELS, STATUS_LABELS, limit_amount
from .markdown import to_html, too_long

BLUEPRINTS = (
    generate.pages, history.pages, templates.pages, usage.pages, problems.pages, status.pages, login.pages
)  # fmt: skip
NAVIGATION = (
    ("/", "GenerationService", Scope.GENERATE),
    ("/templates", "Templates", None),
    ("/history", "HistoryService", Scope.HISTORY),
    ("/usage", "Usage", Scope.USAGE),
    ("/docs", "API docs", None),
)


def register(app: Flask) -> None:
    app.before_request(reject_undeclared_args)
    for pages in BLUEPRINTS:
        app.register_blueprint(pages)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(asset=asset, may=may, csrf_token=csrf_token, csrf_field=csrf_field)
    app.jinja_env.filters.update(
        age_ms=age_ms,
        field_id=field_id,
        limit_amount=limit_amount,
        limit_label=LIMIT_LABELS.get,
        invisible_characters=invisible_characters,
        markdown=to_html,
        marked=lambda text, search: marked(search, text),
        moment=moment,
        number=number,
        output_json=output_json,
        path_of=path_of,
        plain_number=plain_number,
        pretty_json=pretty_json,
        seconds=seconds,
        status_label=STATUS_LABELS.get,
        titled=titled,
        too_long=too_long,
        widget=widget,
    )
    app.jinja_env.filters.update(
        compact=numbers.compact,
        exact_usd=numbers.exact_usd,
        latency=numbers.milliseconds,
        money_of=usage.money_of,
        percent=numbers.percent,
        usd=numbers.usd,
    )
    app.context_processor(_layout_context)


def asset(name: str) -> str:
    """The address of a static file with its content's hash in it, so that it can be cached for good."""
    assert current_app.static_folder is not None
    return url_for("static", filename=name, v=_content_hash(Path(current_app.static_folder) / name))


@cache
def _content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def moment(milliseconds: int) -> str:
    """`2026-11-23 20:15:00`, UTC; a script shows it in the reader's own time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def age_ms(milliseconds: int) -> int:
    """How long ago that was, by the server's clock: the reader's own may be wrong."""
    return max(0, services().clock.now_ms() - milliseconds)


def pretty_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def number(value: int | None) -> str:
    """`1,234`; an unknown number is a dash, never 0."""
    return "–" if value is None else f"{value:,}"


def seconds(milliseconds: int | None) -> str:
    """`0.84 s`, or `3 ms` where that says more."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds} ms" if milliseconds < 100 else f"{milliseconds / 1000:.2f} s"


def may(scope: str) -> bool:
    """Whether whoever looks at the page may do that."""
    caller: Caller | None = g.get("caller")
    return caller is not None and caller.may(Scope(scope))


def csrf_token() -> str:
    """What changing requests of a signed-in browser must bring; empty where nobody is signed in."""
    sign_in = g.get("sign_in")
    return sign_in.token if sign_in is not None else ""


def csrf_field() -> Markup:
    """The token as a hidden field, for forms."""
    token = csrf_token()
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, token) if token else Markup("")


def _layout_context() -> dict[str, Any]:
    """What the frame of every page shows; nothing of it for those who are not let in."""
    frame: dict[str, Any] = {"service_name": current_app.config["SERVICE_NAME"], "frame": None}
    caller: Caller | None = g.get("caller")
    if caller is not None:
        has = services()
        frame["frame"] = {
            "env": current_app.config["SERVICE_ENV"],
            "model": has.models.stand_in or has.models.default,
            "provider": has.providers.resolve(has.models.default).name,
            "health_error": has.providers.health_error(),
            "templates": len(has.templates),
            "faults": has.library.faults,
            "cache": has.cache.stats(),
            "nav": [(address, label) for address, label, scope in NAVIGATION if scope is None or caller.may(scope)],
            "home": login.landing(caller),
            "signed_in": caller.owner if g.get("sign_in") is not None else None,
            "key_id": caller.key_id,
        }
    return frame
