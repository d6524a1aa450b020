"""The cache."""

from flask import Response

from ..context import services
from ..http.security_log import log_security_event
from ..schemas.cache import ClearedSchema
from .blueprint import Blueprint, json_response

blp = Blueprint("cache", __name__, url_prefix="/api/v1/cache", description="Stored answers that are reused")


@blp.route("", methods=["DELETE"])
@blp.response(200, ClearedSchema)
@blp.problems("not-authenticated", "csrf", "storage-unavailable", "storage-busy")
@blp.doc(operationId="clearCache")
def clear() -> Response:
    """Clear the cache

    Removes the cached answers of all owners: at once in this process, and within a second in all others. The history is kept.
    """
    cleared = services().cache.clear()
    log_security_event("cache cleared", entries=cleared)
    return json_response({"cleared": cleared})
