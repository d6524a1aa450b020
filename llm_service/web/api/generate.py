"""The main job over HTTP."""

import hashlib
import json
import re
from typing import Any

from flask import Response, g, request

from llm_service.core.generation.in_flight import GenerationResult
from llm_service.core.generation.model import CacheMode, GenerateRequest, IdempotencyKey
from llm_service.core.generation.subscriptions import Subscription

from ..context import caller, services
from ..http.connection import caller_gone
from ..http.errors import InvalidIdempotencyKey
from ..http.rate_limit_headers import limit_headers
from ..schemas.generation import (
    GENERATE_EXAMPLE,
    GENERATION_EXAMPLE,
    EventSchema,
    GenerateHelpSchema,
    GenerateRequestSchema,
    GenerationSchema,
    generation_json,
)
from .events import stream_generation
from .openapi import RATE_LIMIT_HEADERS, Blueprint, Decorator, json_response

blp = Blueprint("generate", __name__, url_prefix="/api/v1", description="Ask a model through a template")

CACHE_NAME = "llm-service"
KEY_PATTERN = '^"?[A-Za-z0-9._~:+/=@-]{1,255}"?$'
_KEY = re.compile(KEY_PATTERN.strip("^$"), re.ASCII)
PROBLEMS = (
    "invalid-json", "duplicate-key", "too-deep", "invalid-idempotency-key", "untrusted-host", "not-authenticated",
    "budget-exhausted", "csrf", "not-acceptable", "idempotency-conflict", "cancelled", "idempotency-mismatch", "too-large", "unsupported-media-type", "invalid-input", "invalid-character", "unknown-template", "unknown-model", "upstream-rejected",
    "rate-limited", "internal-error", "upstream-error", "upstream-auth", "upstream-quota", "upstream-unreachable", "upstream-tls",
    "upstream-redirect", "upstream-truncated", "upstream-invalid-response", "upstream-misconfigured",
    "invalid-output", "output-too-large", "overloaded", "upstream-rate-limited", "upstream-unavailable", "shutting-down", "storage-unavailable", "storage-busy", "storage-full",
    "upstream-timeout", "deadline-exceeded",
)  # fmt: skip
REQUEST_HEADERS = [
    {
        "in": "header",
        "name": "Cache-Control",
        "description": "`no-cache`: do not look the answer up, but store the new one. `no-store`: neither.",
        "schema": {"type": "string"},
    },
    {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "A name for this request, such as a UUID: sent again with the same body within 24 hours, it "
        "gives the same answer and asks no model. Failed requests are made anew.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    },
]
ANSWER_HEADERS = {
    "Cache-Status": {
        "schema": {"type": "string"},
        "description": "RFC 9211: `hit`, or `fwd=miss` with `stored`, or with `collapsed`: another request's call was shared.",
    },
    "Server-Timing": {"schema": {"type": "string"}, "description": "Where the time went, in milliseconds."},
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "The answer of an earlier request with this Idempotency-Key.",
    },
    **RATE_LIMIT_HEADERS,
}


@blp.route("/generate")
@blp.response(200, GenerateHelpSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="getGenerateHelp")
def generate_help() -> Response:
    """How to call generate

    An example that works as it is.
    """
    template = services().templates.default_template
    example = {"template_id": template.template_id, **template.example()}
    return json_response({"message": "POST a JSON body like the example to this address.", "example": example})


def documented(blp: Blueprint, *codes: str, in_path: bool = False) -> Decorator:
    """What the addresses that generate have in common in the document: answers, errors, headers."""

    def decorate(view: Any) -> Any:
        view = blp.doc(parameters=REQUEST_HEADERS)(view)
        view = blp.problems(*codes, in_path=in_path)(view)
        view = blp.alt_response(
            200,
            schema=EventSchema,
            content_type="text/event-stream",
            success=True,
            description="The answer as it comes.",
        )(view)
        return blp.response(200, GenerationSchema, example=GENERATION_EXAMPLE, headers=ANSWER_HEADERS)(view)

    return decorate


@blp.route("/generate", methods=["POST"])
@blp.body(GenerateRequestSchema(), example=GENERATE_EXAMPLE)
@documented(blp, *PROBLEMS)
@blp.doc(operationId="generate")
def generate(body: dict[str, Any]) -> Response:
    """Fill a template and ask the model

    Checks the values, renders the prompts, and answers from the cache or from the model; requests that ask the same
    at the same time share one call.

    The answer is in the history when it arrives. An incomplete answer has status 200 and says so in `status`.

    With `"stream": true` the answer comes as server-sent events: `start`, `delta`s with `text`, and at last one
    `done` (the body of a plain answer) or `error` (a problem document). An event's `id` counts the code points
    delivered so far; `/history/{request_id}/events` goes on from there. Errors before the first event keep their
    HTTP status.

    Each template also has an operation of its own, with typed parameters: `/templates/{template_id}/generate`.
    """
    return answer(**body, key=idempotency_key(request.headers.get("Idempotency-Key"), request.path, body))


def answer(*, key: IdempotencyKey | None, stream: bool, **asked: Any) -> Response:
    """Generate as the body and the headers of the request say; `asked` are the fields of `GenerateRequest`."""
    wanted = GenerateRequest(**asked, cache_mode=cache_mode(request.headers.get("Cache-Control", "")))
    if stream:
        return _streamed(wanted, key)
    finished = services().generate.run(wanted, caller(), g.request_id, key=key, gone=caller_gone())
    g.quiet = finished.generation.cached
    headers = {
        **_how(wanted.cache_mode, finished, stored=finished.stored_in_cache),
        **limit_headers(finished.limits, services().clock.now_ms()),
        "Server-Timing": server_timing(finished),
    }
    return json_response(generation_json(finished.generation), headers=headers)


def _streamed(asked: GenerateRequest, key: IdempotencyKey | None) -> Response:
    subscription = services().generate.begin(asked, caller(), g.request_id, key=key)
    g.quiet = subscription.generation.cached
    limits = limit_headers(subscription.limits, services().clock.now_ms())
    return stream_generation(subscription, {**_how(asked.cache_mode, subscription), **limits})


def idempotency_key(value: str | None, route: str, body: dict[str, Any]) -> IdempotencyKey | None:
    """The caller's key with the body's fingerprint; None if there is no key. Quotes around it do not belong to it."""
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        raise InvalidIdempotencyKey("Idempotency-Key must be 1 to 255 letters, digits or . _ ~ : + / = @ -")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(route, value.strip('"'), hashlib.sha256(canonical.encode()).hexdigest())


def cache_mode(header: str) -> CacheMode:
    """What a request's `Cache-Control` asks; directives that mean nothing here are ignored, as HTTP wants."""
    directives = {part.strip().lower() for part in header.split(",")}
    if "no-store" in directives:
        return CacheMode.NO_STORE
    return CacheMode.NO_CACHE if "no-cache" in directives else CacheMode.DEFAULT


def _how(mode: CacheMode, heard: Subscription | GenerationResult, *, stored: bool = False) -> dict[str, str]:
    """The headers that say where an answer comes from."""
    if heard.replayed:
        return {"Idempotency-Replayed": "true"}
    if heard.generation.cached:
        return {"Cache-Status": f"{CACHE_NAME}; hit"}
    forward = "miss" if mode is CacheMode.DEFAULT else "request"
    more = "; collapsed" if heard.collapsed else "; stored" if stored else ""
    return {"Cache-Status": f"{CACHE_NAME}; fwd={forward}{more}"}


def server_timing(finished: GenerationResult) -> str:
    return ", ".join(f"{name};dur={ms:.2f}" for name, ms in finished.timings_ms.items())
