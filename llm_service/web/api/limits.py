"""A caller's limits over HTTP."""

from flask import Response

from ..context import caller, services
from ..schemas.limits import LimitListSchema, limit_json
from .openapi import Blueprint, json_response

blp = Blueprint("limits", __name__, url_prefix="/api/v1/limits", description="How much may be used, and what is left")


@blp.route("")
@blp.response(200, LimitListSchema)
@blp.problems("not-authenticated", "storage-unavailable")
@blp.doc(operationId="getLimits")
def index() -> Response:
    """Your limits, and what is left of them

    Your own first, then those of all callers together; empty where nothing is limited. A limit with `left` 0 refuses the next
    generation with 429 `rate-limited`, a budget without room for the most that a call can cost with 402 `budget-exhausted`.
    """
    return json_response({"items": [limit_json(limit) for limit in services().limiter.statuses(caller())]})
