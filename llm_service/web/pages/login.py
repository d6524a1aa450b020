"""Sign in with an API key, and sign out."""

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import Caller, Scope
from llm_service.core.access.keys import KEY_CHARS, Key

from ..context import services
from ..http.errors import CHALLENGE
from ..http.security_log import log_security_event
from ..security.access_control import CSRF_FIELD, local_address
from ..security.authentication import can_set_cookie, count_wrong_key, session_cookie, set_cookie
from . import generate

pages = Blueprint("login", __name__)
# Room for a key, the address to return to, and a form of the Generate page, with every character escaped.
MAX_FORM_BYTES = 128 * 1024
# The fields of the sign-in form; others are of a form that was sent after the session had ended.
OWN_FIELDS = ("key", "next", "username", CSRF_FIELD)
# Where a sign-in leads without `next`: the first page that the key has the scope for.
INSECURE = (
    "Sign-in requires HTTPS, or a browser on the same machine as the service. Over plain HTTP, anyone on the network "
    "could read your key."
)
LANDINGS = ((Scope.GENERATE, "/"), (Scope.HISTORY, "/history"), (Scope.USAGE, "/usage"))


@pages.route("/login")
def show() -> BaseResponse:
    """`?next=` is the page to return to, `?reason=` why one is asked: `ended` or `signed-out`."""
    if g.sign_in is not None:
        return redirect(local_address(request.args.get("next", "")) or landing(g.caller))
    return Response(_form())


@pages.route("/login", methods=["POST"])
def sign_in() -> BaseResponse:
    """Starts a new session each time, against session fixation."""
    # The sender is still unknown: do not spend the worker's time on a large form.
    request.max_content_length = MAX_FORM_BYTES
    if not can_set_cookie():
        return Response(_form(), 403)
    if "key" not in request.form and _typed():
        return Response(_form(), 401, {"WWW-Authenticate": CHALLENGE})
    found = services().keyring.find(request.form.get("key", "").strip()[: KEY_CHARS + 1])
    if not isinstance(found, Key):
        wait_s = count_wrong_key(found, "sign-in failed")
        if wait_s is not None:
            message = f"Too many invalid keys from your address. Try again in {round(wait_s)} seconds."
            return Response(_form(message), 429, {"Retry-After": str(round(wait_s))})
        message = "Invalid API key. Check that you pasted the whole key."
        return Response(_form(message), 401, {"WWW-Authenticate": CHALLENGE})
    g.caller = found.caller()
    reference = services().sessions.begin(found, instead_of=session_cookie())
    if _typed() and g.caller.may(Scope.GENERATE):
        g.sign_in = services().sessions.find(reference)
        response: BaseResponse = Response(generate.refilled(request.form))
    else:
        response = redirect(local_address(request.form.get("next", "")) or landing(g.caller), 303)
    set_cookie(response, reference)
    log_security_event("signed in")
    return response


@pages.route("/logout", methods=["POST"])
def sign_out() -> BaseResponse:
    if g.sign_in is not None:
        services().sessions.end(session_cookie() or "")
        g.drop_cookie = True
        log_security_event("signed out")
    return redirect("/login?reason=signed-out", 303)


def landing(caller: Caller) -> str:
    return next((address for scope, address in LANDINGS if caller.may(scope)), "/templates")


def _typed() -> dict[str, str]:
    """The form of the Generate page that was sent without a session; empty if there was none."""
    if request.method != "POST" or "template_id" not in request.form:
        return {}
    return {name: text for name, text in request.form.items() if name not in OWN_FIELDS}


def _form(error: str | None = None) -> str:
    wanted = local_address(request.values.get("next", ""))
    return render_template(
        "login/index.html",
        error=error,
        next=wanted,
        typed=_typed(),
        reason=request.args.get("reason"),
        can_keep=can_set_cookie(),
        insecure=INSECURE,
    )
