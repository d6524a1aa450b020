"""Who a request is from: a key in `Authorization: Bearer`, a signed-in browser's cookie, or somebody on this machine.

A header that is wrong is refused, never ignored: whoever shows a key wants to be its owner and nobody else.
"""

from flask import Response, g, request
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import LOCAL, Caller
from llm_service.core.access.keyring import KeyRejection, RejectedKey
from llm_service.core.access.keys import KEY_CHARS, Key
from llm_service.core.access.sessions import ABSOLUTE_MS, Session

from ..context import services
from ..http.errors import NotAuthenticated, TooManyAttempts
from ..http.loopback import client_address, is_open, names_loopback
from ..http.security_log import record

# One text for every reason: who guesses learns nothing.
NOT_LET_IN = "Send a good API key as Authorization: Bearer, or sign in with one at /login."
SCHEME = "bearer "


def identify() -> Caller | None:
    """None: nobody that is known. `g.sign_in` is the browser's session where it is one.

    Raises `NotAuthenticated` or `TooManyAttempts` for a header that is wrong, and `StorageError`.
    """
    header = request.environ.get("HTTP_AUTHORIZATION")
    if header is not None:
        return _by_key(header)
    session = g.sign_in = _by_cookie()
    if session is not None:
        return session.key.caller()
    return LOCAL if is_open() else None


def _by_key(header: str) -> Caller:
    has_form = len(header) == len(SCHEME) + KEY_CHARS and header[: len(SCHEME)].lower() == SCHEME
    found = services().keyring.find(header[len(SCHEME) :]) if has_form else RejectedKey(KeyRejection.MALFORMED)
    if isinstance(found, Key):
        return found.caller()
    wait_s = count_wrong(found, "denied")
    if wait_s is not None:
        raise TooManyAttempts("Too many wrong keys came from this address.", retry_after_s=wait_s)
    raise NotAuthenticated(NOT_LET_IN)


def count_wrong(refused: RejectedKey, event: str) -> float | None:
    """Record a wrong key; the seconds to wait where it was one too many from its address."""
    record(event, reason=refused.reason.value, key_id=refused.key_id)
    wait_s = services().attempts.record_failure(client_address())
    if wait_s is not None:
        record("limited", reason="wrong keys", key_id=refused.key_id)
    return wait_s


def _by_cookie() -> Session | None:
    reference = cookie()
    if reference is None:
        return None
    session = services().sessions.find(reference)
    # Whatever it was, it is worth nothing: the browser need not send it again.
    g.drop_cookie = session is None
    return session


def cookie() -> str | None:
    """What the browser has of its session."""
    return request.cookies.get(_cookie_name())


def can_keep_cookie() -> bool:
    """Over plain HTTP anyone on the way could read it."""
    return request.is_secure or names_loopback(request.environ["HTTP_HOST"])


def set_cookie(response: BaseResponse, reference: str) -> None:
    g.drop_cookie = False
    response.set_cookie(
        _cookie_name(),
        reference,
        max_age=ABSOLUTE_MS // 1000,
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def drop_cookie(response: Response) -> Response:
    """After each request: clear a cookie that was found to be worth nothing."""
    if g.get("drop_cookie", False):
        response.delete_cookie(_cookie_name(), path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _cookie_name() -> str:
    """`__Host-`: browsers take it over https only, for this host alone."""
    return "__Host-session" if request.is_secure else "session"
