"""Answers to requests that never reached the app, as bytes."""

import json

from llm_service.core.errors import ServiceError

from .errors import BadRequest, problem_document
from .response import HEADERS


def broken_request(status: int, reason: str, request_id: str) -> bytes:
    """To what is not valid HTTP, or is too large for its place."""
    document = problem_document(BadRequest(""), "/", request_id)
    return _answer({**document, "title": reason, "status": status}, status, reason, request_id)


def broken_app(path: str | None, request_id: str) -> bytes:
    """To a request whose answer the app could not begin."""
    document = problem_document(ServiceError("An unexpected error occurred."), path or "/", request_id)
    return _answer(document, 500, "Internal Server Error", request_id)


def _answer(document: dict[str, object], status: int, reason: str, request_id: str) -> bytes:
    body = json.dumps(document)
    headers = [
        ("Connection", "close"),
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", request_id),
        *HEADERS,
        ("Cache-Control", "no-store"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n{body}".encode("ascii")
