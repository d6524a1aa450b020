"""The service's own answers to what is not valid HTTP.

The app never sees such a request, and gunicorn would answer with HTML and without the headers of every response.
gunicorn's master imports this module: it must not import the app.
"""

from typing import Any

from gunicorn import util
from gunicorn.http import errors

STATUSES: dict[type[Exception], tuple[int, str]] = {
    errors.ForbiddenProxyRequest: (403, "Forbidden"),
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}
# These are the app's faults.
_OF_RESPONSES = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


class ServerErrors:
    """For a worker class of gunicorn: how it answers errors that are not the app's."""

    wsgi: Any
    log: Any

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """The answer is a problem document whatever the address is: it may be what could not be read."""
        from .unread_requests import broken_app, broken_request

        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OF_RESPONSES):
            # Not the error's text: it may quote a header, and so a key.
            self.log.warning("Invalid request: %s", type(exc).__name__)
            status, reason = STATUSES.get(type(exc), (400, "Bad Request"))
            answer = broken_request(status, reason, self.wsgi.config["MAKE_ID"]())
        else:
            self.log.exception("Error handling request")
            answer = broken_app(getattr(req, "path", None), self.wsgi.config["MAKE_ID"]())
        try:
            util.write_nonblock(client, answer)
        except Exception:
            self.log.debug("Failed to send error message.")
