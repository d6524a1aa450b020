"""Gzip for what browsers load: pages, static files and the OpenAPI document. Answers of the API stay as they are."""

import zlib
from functools import partial

from flask import Response, request

from ..context import services

LEVEL = 6
# A smaller body fits into the packet of its headers either way.
MIN_BYTES = 1000
# A larger body is compressed in a thread: this one takes a millisecond or two.
MAX_BYTES_ON_LOOP = 100_000
MAX_ACCEPT_CHARS = 1000
_GZIP = 16 + zlib.MAX_WBITS
_TYPES = frozenset({"application/javascript", "application/json", "image/svg+xml"})


def gzipped(body: bytes) -> bytes:
    """The same bytes for the same body: there is no time in the header."""
    if len(body) > MAX_BYTES_ON_LOOP:
        return services().in_thread(partial(zlib.compress, body, LEVEL, _GZIP))
    return zlib.compress(body, LEVEL, _GZIP)


def is_compressible(mimetype: str | None) -> bool:
    """An event stream is not: its events must leave one by one."""
    return mimetype is not None and mimetype != "text/event-stream" and (mimetype in _TYPES or mimetype[:5] == "text/")


def accepts_gzip() -> bool:
    """Whether the client takes gzip and does not prefer the body as it is."""
    if len(request.environ.get("HTTP_ACCEPT_ENCODING", "")) > MAX_ACCEPT_CHARS:
        return False
    return request.accept_encodings.best_match(["gzip", "identity"]) == "gzip"


def gzip_response(packed: bytes, mimetype: str, etag: str) -> Response:
    """A body that was compressed before. `etag` is that of the body as it is; another encoding needs another."""
    response = Response(packed, mimetype=mimetype, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    response.set_etag(f"{etag}-gzip")
    response.make_conditional(request)
    return response


def compress(response: Response) -> Response:
    """For `after_request` of a blueprint of pages.

    A page is not compressed for another site's request: its length would tell how much of the address, which that site
    chooses, is found in the reader's texts (BREACH). Programs send no `Sec-Fetch-Site`.
    """
    if response.is_streamed or not is_compressible(response.mimetype) or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    body = response.get_data()
    by_itself = request.environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    if len(body) >= MIN_BYTES and by_itself and accepts_gzip():
        response.set_data(gzipped(body))
        response.headers["Content-Encoding"] = "gzip"
    return response
