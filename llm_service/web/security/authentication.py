"""Authentication: by a key in `Authorization: Bearer`, by a signed-in browser's cookie, or by a local connection.

An invalid header is refused, never ignored: a caller that sends a key must not be taken for anyone else.
"""

from flask import Response, g, request
from werkzeug.wrappers import Response as BaseResponse

from llm_service.core.access.caller import LOCAL, Caller
from llm_service.core.access.keyring import KeyRejection, RejectedKey
from llm_service.core.access.keys import KEY_CHARS, Key
from llm_service.core.access.sessions import ABSOLUTE_MS, Session

from ..context import services
from ..http.current import current_g, current_request
from ..http.errors import NotAuthenticated, TooManyAttempts
from ..http.loopback import client_address, is_local_request, is_loopback_host
from ..http.security_log import log_security_event

# One message for every reason: it must not help to guess keys.
INVALID_KEY = "Missing or invalid API key. Send a valid key as Authorization: Bearer, or sign in at /login."
SCHEME = "bearer "


def authenticate() -> Caller | None:
    """The caller, or None if the request proves no identity. Sets `g.sign_in` to the browser's session, if any.

    Raises `NotAuthenticated` or `TooManyAttempts` for an invalid header, and `StorageError`.
    """
    environ = current_request().environ
    if (header := environ.get("HTTP_AUTHORIZATION")) is not None:
        return _by_key(header)
    # Programs send no cookies.
    session = current_g().sign_in = _by_cookie() if "HTTP_COOKIE" in environ else None
    if session is not None:
        return session.key.caller()
    return LOCAL if is_local_request(environ) else None


def _by_key(header: str) -> Caller:
    has_form = len(header) == len(SCHEME) + KEY_CHARS and header[: len(SCHEME)].lower() == SCHEME
    found = services().keyring.find(header[len(SCHEME) :]) if has_form else RejectedKey(KeyRejection.MALFORMED)
    if isinstance(found, Key):
        return found.caller()
    wait_s = count_wrong_key(found, "denied")
    if wait_s is not None:
        raise TooManyAttempts(
            f"Too many invalid keys from your address. Try again in {max(1, round(wait_s))} s.", retry_after_s=wait_s
        )
    raise NotAuthenticated(INVALID_KEY)


def count_wrong_key(refused: RejectedKey, event: str) -> float | None:
    """Log and count an invalid key; the seconds to wait if its address has sent too many."""
    log_security_event(event, reason=refused.reason.value, key_id=refused.key_id)
    wait_s = services().failed_logins.record_failure(client_address())
    if wait_s is not None:
        log_security_event("limited", reason="wrong keys", key_id=refused.key_id)
    return wait_s


def _by_cookie() -> Session | None:
    reference = session_cookie()
    if reference is None:
        return None
    session = services().sessions.find(reference)
    # An invalid cookie is cleared: the browser need not send it again.
    g.drop_cookie = session is None
    return session


def session_cookie() -> str | None:
    """The session reference that the browser sent."""
    return request.cookies.get(_cookie_name())


def can_set_cookie() -> bool:
    """Over plain HTTP, anyone on the network path could read it."""
    return request.is_secure or is_loopback_host(request.environ["HTTP_HOST"])


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
    """After each request: clear a cookie that turned out to be invalid."""
    if current_g().get("drop_cookie", False):
        response.delete_cookie(_cookie_name(), path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _cookie_name() -> str:
    """Browsers accept `__Host-` cookies over https only, for this host alone."""
    return "__Host-session" if request.is_secure else "session"
