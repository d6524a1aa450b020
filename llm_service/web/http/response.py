"""The response, and the headers that every one has."""

from collections.abc import Iterable
from typing import Any

from flask import Response as FlaskResponse

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{data}; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
_EVERYWHERE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
HEADERS = (*_EVERYWHERE, ("Content-Security-Policy", _CSP.format(data="")))
# Swagger UI embeds its icons as data: URLs.
DOCS_HEADERS = (*_EVERYWHERE, ("Content-Security-Policy", _CSP.format(data=" data:")))


class Response(FlaskResponse):
    """Adds its fixed headers when it is sent: werkzeug checks and copies each header of `headers` three times.

    Flask makes one of every other response that a view returns.
    """

    fixed = HEADERS

    def get_wsgi_response(self, environ: Any) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        body, status, headers = super().get_wsgi_response(environ)
        return body, status, [*headers, *self.fixed]
