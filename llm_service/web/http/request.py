"""The request: what Flask's would parse without a bound, or slowly."""

import re
from typing import IO, Any

from flask import Request as FlaskRequest
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from .errors import BadRequest, TooLarge, UnsupportedMediaType

MAX_FORM_BYTES = 2 * 1024 * 1024
MAX_FORM_FIELDS = 1000
MAX_LONE_PERCENTS = 10_000
MAX_HEADER_CHARS = 16 * 1024
# The headers that are parsed. A server joins repeated ones, so they can be much longer than a line may be.
PARSED_HEADERS = (
    "HTTP_ACCEPT", "HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH", "HTTP_RANGE",
)  # fmt: skip
FORM_TYPE = "application/x-www-form-urlencoded"
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class FormParser(FormDataParser):
    """Reads urlencoded forms only, which is what browsers send for ours.

    werkzeug's parser has no bound on their fields, and takes a second of the event loop's time for 2 MiB.
    """

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Raises `TooLarge`, `BadRequest` if the form is cut off, and `UnsupportedMediaType` for multipart."""
        if mimetype == "multipart/form-data":
            raise UnsupportedMediaType(f"Send forms as {FORM_TYPE}.")
        fields = parse_form(self._read(stream, content_length)) if mimetype == FORM_TYPE else []
        return stream, self.cls(fields), self.cls()

    def _read(self, stream: IO[bytes], length: int | None) -> bytes:
        """All of it: half a form is a form, too, and would be acted upon."""
        limit = MAX_FORM_BYTES if self.max_content_length is None else self.max_content_length
        # A chunked body has no length: read at most one byte over the limit. One read returns what is there.
        wanted, body = limit + 1 if length is None else min(length, limit + 1), bytearray()
        try:
            while len(body) < wanted and (piece := stream.read(wanted - len(body))):
                body += piece
        except RequestEntityTooLarge:
            raise TooLarge(f"A form may have at most {limit:,} bytes.") from None
        except Exception as error:
            # Each server raises its own errors for a body that is cut off or has invalid chunks.
            raise BadRequest("The form is incomplete.") from error
        if len(body) > limit:
            raise TooLarge(f"A form may have at most {limit:,} bytes.")
        if length is not None and len(body) < length:
            raise BadRequest("The form is incomplete.")
        return bytes(body)


class Request(FlaskRequest):
    form_data_parser_class = FormParser


def refuse_long_headers(environ: dict[str, Any]) -> None:
    """Raise `TooLarge` for a header whose parts would take long to parse."""
    for name in PARSED_HEADERS:
        if len(environ.get(name, "")) > MAX_HEADER_CHARS:
            raise TooLarge("A request header may have at most 16 KiB.")


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The names and values of a urlencoded form, in order. Bytes that are not UTF-8 become U+FFFD.

    Raises `TooLarge`.
    """
    if body.count(b"&") >= MAX_FORM_FIELDS:
        raise TooLarge(f"A form may have at most {MAX_FORM_FIELDS:,} fields.")
    pairs = (part.partition(b"=") for part in body.split(b"&") if part)
    return [(_unquoted(name), _unquoted(value)) for name, _, value in pairs]


def _unquoted(text: bytes) -> str:
    """The text without percent escapes; a % that begins none stays as it is.

    Python decodes its own `\\xAB` in one pass. `urllib.parse.unquote` takes thirty times as long: it makes an object of
    each escape.
    """
    text = text.replace(b"+", b" ")
    if b"%" in text:
        whole, lone = _NO_ESCAPE.subn(b"%25", text, MAX_LONE_PERCENTS + 1)
        if lone > MAX_LONE_PERCENTS:
            raise TooLarge(f"A form may have at most {MAX_LONE_PERCENTS:,} percent signs that are not escaped.")
        escapes = whole.replace(b"\\", b"\\\\").replace(b"%", b"\\x")
        text = escapes.decode("unicode_escape").encode("latin-1")
    return text.decode("utf-8", "replace")
