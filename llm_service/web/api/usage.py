"""Usage totals."""

from typing import Any

from flask import Response

from llm_service.core.dates import optional_moment
from llm_service.core.usage.sums import GroupBy

from ..context import services
from ..schemas.usage import UsageQuerySchema, UsageSchema, usage_json
from ..security.admin_access import resolve_usage_owner
from .blueprint import Blueprint, json_response

blp = Blueprint("usage", __name__, url_prefix="/api/v1/usage", description="Tokens, cost and savings")


@blp.route("")
@blp.query(UsageQuerySchema)
@blp.response(200, UsageSchema)
@blp.problems("not-authenticated", "invalid-input", "storage-unavailable")
@blp.doc(operationId="getUsage")
def index(query: dict[str, Any]) -> Response:
    """Get your usage

    Totals of your own generations by day, template, revision, model or owner, dated by their start. A key with the
    scope `admin` may name an owner, and its totals by owner cover all owners. Totals are kept by the hour; deleting the history
    does not change them.

    `input_tokens`, `output_tokens` and their parts are what the provider bills: every attempt that reported its tokens,
    including failed and stopped requests. `saved_input_tokens` and `saved_output_tokens` belong to answers from the cache or
    from another request's call. Totals contain only what is known; `unknown_usage` and `unknown_price` count the requests
    for which something is unknown.
    """
    group_by = GroupBy(query["group_by"])
    owner = resolve_usage_owner(query["owner"], all_owners=group_by is GroupBy.OWNER)
    report = services().usage.report(
        owner, group_by, optional_moment("since", query["since"]), optional_moment("until", query["until"])
    )
    return json_response(usage_json(report))
