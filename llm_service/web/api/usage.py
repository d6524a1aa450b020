"""Usage in sums over HTTP."""

from typing import Any

from flask import Response

from llm_service.core.dates import optional_moment
from llm_service.core.usage.sums import GroupBy

from ..context import services
from ..schemas.usage import UsageQuerySchema, UsageSchema, usage_json
from ..security.admin_access import usage_of
from .openapi import Blueprint, json_response

blp = Blueprint(
    "usage", __name__, url_prefix="/api/v1/usage", description="What was used, what it cost, what was saved"
)


@blp.route("")
@blp.query(UsageQuerySchema)
@blp.response(200, UsageSchema)
@blp.problems("not-authenticated", "invalid-input", "storage-unavailable")
@blp.doc(operationId="getUsage")
def index(query: dict[str, Any]) -> Response:
    """Your usage in sums

    By day, template, revision, model or owner, of your own generations, by the time when they began. A key of scope `admin`
    may name an owner, and sums by owner are then everybody's. Sums are kept by the
    hour and stay when the history is deleted.

    `input_tokens`, `output_tokens` and what is part of them are what the provider bills: every attempt that reported its
    tokens, of requests that failed or were stopped too. `saved_input_tokens` and `saved_output_tokens` are those of answers
    that came from the cache or from another request's call. A sum holds what is known; `unknown_usage` and `unknown_price`
    count the requests of which it does not know all.
    """
    group_by = GroupBy(query["group_by"])
    owner = usage_of(query["owner"], of_all=group_by is GroupBy.OWNER)
    report = services().usage.report(
        owner, group_by, optional_moment("since", query["since"]), optional_moment("until", query["until"])
    )
    return json_response(usage_json(report))
