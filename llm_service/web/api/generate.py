"""The main job over HTTP."""

from typing import Any

from flask import Response, g, request

from llm_service.core.errors import FieldError, InvalidInput
from llm_service.core.generate import Finished
from llm_service.core.model import CacheMode, GenerateRequest

from ..context import owner, services
from ..representation import answer_json
from .schemas import GENERATE_EXAMPLE, GENERATION_EXAMPLE, GenerateHelpSchema, GenerateRequestSchema, GenerationSchema
from .spec import Blueprint, json_response

blp = Blueprint("generate", __name__, url_prefix="/api/v1", description="Ask a model through a template")

CACHE_NAME = "llm-service"
PROBLEMS = (
    "invalid-json", "duplicate-key", "too-deep", "untrusted-host", "not-authenticated", "csrf", "not-acceptable",
    "too-large", "unsupported-media-type", "invalid-input", "invalid-character", "unknown-template", "unknown-model", "upstream-rejected",
    "internal-error", "upstream-error", "upstream-auth", "upstream-quota", "upstream-unreachable", "upstream-tls",
    "upstream-redirect", "upstream-truncated", "upstream-invalid-response", "upstream-misconfigured",
    "output-too-large", "upstream-rate-limited", "storage-unavailable", "storage-busy", "storage-full",
    "upstream-timeout", "deadline-exceeded",
)  # fmt: skip


@blp.route("/generate")
@blp.response(200, GenerateHelpSchema)
@blp.problems("not-authenticated")
@blp.doc(operationId="getGenerateHelp")
def generate_help() -> Response:
    """How to call generate

    An example that works as it is.
    """
    example = next(iter(services().templates)).example()
    return json_response({"message": "POST a JSON body like the example to this address.", "example": example})


@blp.route("/generate", methods=["POST"])
@blp.body(GenerateRequestSchema(), example=GENERATE_EXAMPLE)
@blp.response(200, GenerationSchema, example=GENERATION_EXAMPLE, headers={
    "Cache-Status": {"schema": {"type": "string"}, "description": "RFC 9211: `hit`, or `fwd=miss` with `stored`."},
    "Server-Timing": {"schema": {"type": "string"}, "description": "Where the time went, in milliseconds."},
})  # fmt: skip
@blp.problems(*PROBLEMS)
@blp.doc(
    operationId="generate",
    parameters=[
        {
            "in": "header",
            "name": "Cache-Control",
            "description": "`no-cache`: do not look the answer up, but store the new one. `no-store`: neither.",
            "schema": {"type": "string"},
        }
    ],
)
def generate(body: dict[str, Any]) -> Response:
    """Fill a template and ask the model

    Checks the values, renders the prompts, and answers from the cache or from the model.

    The answer is in the history when it arrives. An incomplete answer has status 200 and says so in `status`.
    """
    if body.pop("stream"):
        message = "streaming is not available in this version: leave it out or send false"
        raise InvalidInput.of([FieldError("stream", message)])
    asked = GenerateRequest(**body, cache_mode=cache_mode(request.headers.get("Cache-Control", "")))
    finished = services().generate.run(asked, owner(), g.request_id)
    g.quiet = finished.generation.cached
    headers = {"Cache-Status": cache_status(finished, asked.cache_mode), "Server-Timing": server_timing(finished)}
    return json_response(answer_json(finished.generation), headers=headers)


def cache_mode(header: str) -> CacheMode:
    """What a request's `Cache-Control` asks; directives that mean nothing here are ignored, as HTTP wants."""
    directives = {part.strip().lower() for part in header.split(",")}
    if "no-store" in directives:
        return CacheMode.NO_STORE
    return CacheMode.NO_CACHE if "no-cache" in directives else CacheMode.DEFAULT


def cache_status(finished: Finished, mode: CacheMode) -> str:
    if finished.generation.cached:
        return f"{CACHE_NAME}; hit"
    forward = "miss" if mode is CacheMode.DEFAULT else "request"
    return f"{CACHE_NAME}; fwd={forward}" + ("; stored" if finished.stored_in_cache else "")


def server_timing(finished: Finished) -> str:
    return ", ".join(f"{name};dur={ms:.2f}" for name, ms in finished.timings_ms.items())
