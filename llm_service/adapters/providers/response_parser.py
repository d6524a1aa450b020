"""Parses an HTTP/1.1 response with llhttp, from bytes as they arrive."""

import httpcore2
import httptools


class ResponseParser:
    """Parses one response; its `on_` methods are llhttp's callbacks. Interim responses (1xx) are skipped."""

    def __init__(self) -> None:
        self._body: list[bytes] = []
        # What follows the response was not asked for, and is not its body.
        self._body_ends_at: int | None = None
        self.on_body = self._body.append  # nothing of ours runs for each chunk
        self._parser = httptools.HttpResponseParser(self)
        # Real servers send these. They mislead only who shares a connection with others, which nobody does here.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_version=True,
        )
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        self.complete = False
        self._keeps_alive = False
        self._followed = False

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps_alive = False
            if not self.complete or self.status == 101:
                raise httpcore2.RemoteProtocolError("The server's response is not valid HTTP.") from error

    def close(self) -> None:
        """Let go of the parser, which holds this object: otherwise only the garbage collector frees both."""
        del self._parser

    def take(self) -> bytes:
        """The part of the body that has arrived since the last call."""
        body = self._body[: self._body_ends_at]
        self._body.clear()
        return body[0] if len(body) == 1 else b"".join(body)

    @property
    def ends_with_the_connection(self) -> bool:
        return self.has_head and not self._framing

    @property
    def allows_another(self) -> bool:
        return self.complete and self._keeps_alive and not self._followed and len(self._framing) < 2

    @property
    def _framing(self) -> set[bytes]:
        """Which headers say where the body ends; both say two things."""
        return {name.lower() for name, _ in self.headers} & {b"content-length", b"transfer-encoding"}

    def on_message_begin(self) -> None:
        self._followed = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # else it is a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._followed:
            return
        self.status = self._parser.get_status_code()
        self.has_head = self.status >= 200 or self.status == 101

    def on_message_complete(self) -> None:
        if self._followed:
            return
        self.complete = self.has_head
        self._body_ends_at = len(self._body) if self.complete else None
        # Afterwards the parser would speak of the next message.
        self._keeps_alive = self._parser.should_keep_alive()
        if not self.has_head:
            self.headers = []
