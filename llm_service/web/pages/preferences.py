"""What a browser remembers about how pages look, in cookies: the colour scheme, and that the notice was dismissed."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.clock import HOUR_MS
from llm_service.core.errors import FieldError, InvalidInput

from ..security.access_control import local_address
from .labels import THEME_LABELS

pages = Blueprint("preferences_page", __name__)

# The values of each cookie; its first one is what holds without it.
CHOICES = {"theme": tuple(THEME_LABELS), "notice": ("shown", "hidden")}
MAX_AGE_S = 365 * 24 * HOUR_MS // 1000
MAX_FORM_BYTES = 8 * 1024


@pages.route("/preferences", methods=["POST"])
def choose() -> BaseResponse:
    """A script has changed the page already; without scripts, it is loaded again."""
    request.max_content_length = MAX_FORM_BYTES
    chosen = {name: request.form[name] for name in CHOICES if name in request.form}
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise InvalidInput(f"{name}: unknown value.", fields=(FieldError(name, "is not one of the choices"),))
    response = Response(status=200) if "HX-Request" in request.headers else redirect(_page_before(), 303)
    for name, value in chosen.items():
        if value == CHOICES[name][0]:
            response.delete_cookie(name, path="/", secure=request.is_secure, samesite="Lax")
        else:
            response.set_cookie(
                name, value, max_age=MAX_AGE_S, path="/", secure=request.is_secure, httponly=True, samesite="Lax"
            )
    return response


def preference(name: str) -> str:
    value = request.cookies.get(name, "")
    return value if value in CHOICES[name] else CHOICES[name][0]


def _page_before() -> str:
    """Our pages send their address: `Referrer-Policy: same-origin`."""
    try:
        address = urlsplit(request.referrer or "")
    except ValueError:
        return "/"
    page = f"{address.path}?{address.query}" if address.query else address.path
    return page if address.path == url_for("login.show") else local_address(page) or "/"
