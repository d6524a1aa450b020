"""Generate: plain, streamed, and repeated with an idempotency key."""

import hashlib
import json
import re
from typing import Any

from flask import Response, g

from llm_service.core.generation.in_flight import FALLBACK_LAP, GenerationResult
from llm_service.core.generation.model import CacheMode, GenerateRequest, IdempotencyKey
from llm_service.core.generation.subscriptions import Subscription

from ..context import caller, services
from ..http.connection import disconnect_check
from ..http.current import current_g, current_request
from ..http.errors import InvalidIdempotencyKey
from ..http.rate_limit_headers import limit_headers
from ..schemas.generation import (
    EVENT_STREAM,
    GENERATE_EXAMPLE,
    GENERATION_EXAMPLE,
    GenerateHelpSchema,
    GenerateRequestSchema,
    GenerationSchema,
    generation_json,
)
from .blueprint import RATE_LIMIT_HEADERS, Blueprint, Decorator, json_response
from .events import stream_generation

blp = Blueprint("generate", __name__, url_prefix="/api/v1", description="Generate answers from templates")

CACHE_NAME = "llm-service"
KEY_PATTERN = '^"?[A-Za-z0-9._~:+/=@-]{1,255}"?$'
_KEY = re.compile(KEY_PATTERN.strip("^$"), re.ASCII)
GENERATION_ERRORS = (
    "invalid-json", "duplicate-key", "too-deep", "invalid-idempotency-key", "untrusted-host", "not-authenticated",
    "budget-exhausted", "csrf", "not-acceptable", "idempotency-conflict", "cancelled", "idempotency-mismatch", "too-large", "unsupported-media-type", "invalid-input", "invalid-character", "unknown-template", "unknown-model", "upstream-rejected", "too-long-for-model", "content-filtered",
    "rate-limited", "internal-error", "upstream-error", "upstream-auth", "upstream-quota", "upstream-unreachable", "upstream-tls",
    "upstream-redirect", "upstream-truncated", "upstream-invalid-response", "upstream-misconfigured",
    "invalid-output", "output-too-large", "overloaded", "upstream-rate-limited", "upstream-unavailable", "shutting-down", "storage-unavailable", "storage-busy", "storage-full",
    "upstream-timeout", "deadline-exceeded",
)  # fmt: skip
REQUEST_HEADERS = [
    {
        "in": "header",
        "name": "Cache-Control",
        "description": "`no-cache`: skip the cache lookup, but store the new answer. `no-store`: skip both.",
        "schema": {"type": "string"},
    },
    {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "A unique name for this request, such as a UUID. If you repeat it with the same body within 24 hours, you get the "
        "same answer without another call to the model; while the first request runs, you join it. Failed requests run again.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    },
]
ANSWER_HEADERS = {
    "Cache-Status": {
        "schema": {"type": "string"},
        "description": "RFC 9211: `hit`, or `fwd=miss` with `stored` or `collapsed` (shared another request's call).",
    },
    "Server-Timing": {
        "schema": {"type": "string"},
        "description": "Time spent in each step, in milliseconds. `fallback-1`, `fallback-2`, ...: models that failed before another one answered.",
    },
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "This is the answer of an earlier request with the same Idempotency-Key.",
    },
    **RATE_LIMIT_HEADERS,
}


@blp.route("/generate")
@blp.response(200, GenerateHelpSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="getGenerateHelp")
def generate_help() -> Response:
    """Get an example request

    A request body that works as it is.
    """
    template = services().templates.default_template
    example = {"template_id": template.template_id, **template.example()}
    return json_response(
        {"message": "Send a POST request with a JSON body like the example to this URL.", "example": example}
    )


def document_generation(blp: Blueprint, *codes: str, in_path: bool = False) -> Decorator:
    """Document the responses, errors and headers that all generate operations share."""

    def decorate(view: Any) -> Any:
        view = blp.doc(parameters=REQUEST_HEADERS)(view)
        view = blp.problems(*codes, in_path=in_path)(view)
        view = blp.alt_response(
            200,
            schema=EVENT_STREAM,
            content_type="text/event-stream",
            success=True,
            description="The answer; with `stream`, as a stream of events.",
        )(view)
        return blp.response(200, GenerationSchema, example=GENERATION_EXAMPLE, headers=ANSWER_HEADERS)(view)

    return decorate


@blp.route("/generate", methods=["POST"])
@blp.body(GenerateRequestSchema(), repeats=True, example=GENERATE_EXAMPLE)
@document_generation(blp, *GENERATION_ERRORS)
@blp.doc(operationId="generate")
def generate(body: dict[str, Any]) -> Response:
    """Generate an answer

    Validates the values, renders the prompts, and answers from the cache or from the model. Identical requests at the same time
    share one call.

    The answer is in the history before you receive it. An incomplete answer has HTTP status 200 and `status` `incomplete`.

    With `"stream": true`, the answer is sent as server-sent events: `start`, `delta`s with `text`, and finally one
    `done` (the body of a plain answer) or `error` (a problem document). An event's `id` counts the code points
    sent so far; `/history/{request_id}/events` continues from there. Errors before the first event keep their
    HTTP status.

    Each template also has its own operation with typed parameters: `/templates/{template_id}/generate`.
    """
    request = current_request()
    key = idempotency_key(request.environ.get("HTTP_IDEMPOTENCY_KEY"), request.path, body)
    return generate_response(**body, key=key)


def generate_response(*, key: IdempotencyKey | None, stream: bool, **fields: Any) -> Response:
    """Generate with these `fields` of a `GenerateRequest`, and as the request's headers say."""
    request, g, used = current_request(), current_g(), services()
    generate_request = GenerateRequest(**fields, cache_mode=cache_mode(request.environ.get("HTTP_CACHE_CONTROL", "")))
    if stream:
        return _stream_response(generate_request, key)
    finished = used.generation.run(generate_request, caller(), g.request_id, key=key, gone=disconnect_check())
    g.quiet = finished.generation.cached
    headers = {
        **_source_headers(generate_request.cache_mode, finished, stored=finished.stored_in_cache),
        **limit_headers(finished.limits, used.clock.now_ms()),
        "Server-Timing": server_timing(finished),
    }
    return json_response(generation_json(finished.generation), headers=headers)


def _stream_response(generate_request: GenerateRequest, key: IdempotencyKey | None) -> Response:
    subscription = services().generation.begin(generate_request, caller(), g.request_id, key=key)
    g.quiet = subscription.generation.cached
    limits = limit_headers(subscription.limits, services().clock.now_ms())
    return stream_generation(subscription, {**_source_headers(generate_request.cache_mode, subscription), **limits})


def idempotency_key(value: str | None, route: str, body: dict[str, Any]) -> IdempotencyKey | None:
    """The caller's key with a fingerprint of the body; None if there is no key. Quotes around the key are ignored."""
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        raise InvalidIdempotencyKey("Idempotency-Key must be 1 to 255 letters, digits or . _ ~ : + / = @ -.")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(route, value.strip('"'), hashlib.sha256(canonical.encode()).hexdigest())


def cache_mode(header: str) -> CacheMode:
    """The mode that a request's `Cache-Control` asks for. Unknown directives are ignored, as HTTP requires."""
    directives = {part.strip().lower() for part in header.split(",")}
    if "no-store" in directives:
        return CacheMode.NO_STORE
    return CacheMode.NO_CACHE if "no-cache" in directives else CacheMode.DEFAULT


def _source_headers(
    mode: CacheMode, source: Subscription | GenerationResult, *, stored: bool = False
) -> dict[str, str]:
    """The headers that tell where an answer comes from."""
    if source.replayed:
        return {"Idempotency-Replayed": "true"}
    if source.generation.cached:
        return {"Cache-Status": f"{CACHE_NAME}; hit"}
    forward = "miss" if mode is CacheMode.DEFAULT else "request"
    more = "; collapsed" if source.collapsed else "; stored" if stored else ""
    return {"Cache-Status": f"{CACHE_NAME}; fwd={forward}{more}"}


def server_timing(finished: GenerationResult) -> str:
    timings = ", ".join(f"{name};dur={ms:.2f}" for name, ms in finished.timings_ms.items())
    for number, tried in enumerate(finished.generation.fallbacks, 1):
        # Where its time is known, which is for the request that made the call.
        name = f"{FALLBACK_LAP}{number};"
        timings = timings.replace(name, f'{name}desc="{_quotable(tried.model)} {tried.error}";')
    return timings


def _quotable(model: str) -> str:
    """A name of a model for a quoted string of a header."""
    return re.sub(r"[^ -~]|[\"\\]", "?", model)
