"""The cache over HTTP."""

from flask import Response

from ..context import services
from ..http.security_log import record
from ..schemas.cache import ClearedSchema
from .openapi import Blueprint, json_response

blp = Blueprint("cache", __name__, url_prefix="/api/v1/cache", description="The answers that are used again")


@blp.route("", methods=["DELETE"])
@blp.response(200, ClearedSchema)
@blp.problems("not-authenticated", "csrf", "storage-unavailable", "storage-busy")
@blp.doc(operationId="clearCache")
def clear() -> Response:
    """Forget all cached answers

    Those of every owner, in every process of the service: here at once, in the others within a second. The history stays.
    """
    cleared = services().cache.clear()
    record("cache cleared", entries=cleared)
    return json_response({"cleared": cleared})
