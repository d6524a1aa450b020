"""The caller's limits."""

from flask import Response

from ..context import caller, services
from ..schemas.limits import LimitListSchema, limit_json
from .blueprint import Blueprint, json_response

blp = Blueprint("limits", __name__, url_prefix="/api/v1/limits", description="Your limits and what is left of them")


@blp.route("")
@blp.response(200, LimitListSchema)
@blp.problems("not-authenticated", "storage-unavailable")
@blp.doc(operationId="getLimits")
def index() -> Response:
    """List your limits

    Your own limits come first, then those of all callers together. The list is empty if nothing is limited. If `left` is 0, the
    next generation fails with 429 `rate-limited`. If a budget is lower than the most that a call can cost, the call fails with
    402 `budget-exhausted`.
    """
    return json_response({"items": [limit_json(limit) for limit in services().limiter.statuses(caller())]})
