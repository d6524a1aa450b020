"""The history over HTTP."""

from typing import Any

from flask import Response

from llm_service.core.access.caller import Scope

from ..context import caller, owner, services
from ..exports import export_file, output_file
from ..filters import read_filters
from ..schemas.generation import EventSchema
from ..schemas.history import (
    DeletedSchema,
    ExportQuerySchema,
    ExportSchema,
    HistoryItemSchema,
    HistoryPageSchema,
    HistoryQuerySchema,
    history_item_json,
    history_summary_json,
)
from ..security.admin_access import owner_named, owner_of
from .events import join_generation, last_event_id
from .openapi import Blueprint, json_response

blp = Blueprint("history", __name__, url_prefix="/api/v1/history", description="What was asked and answered")


@blp.route("")
@blp.query(HistoryQuerySchema)
@blp.response(200, HistoryPageSchema)
@blp.problems("not-authenticated", "invalid-input", "invalid-character", "storage-unavailable")
@blp.doc(operationId="listHistory")
def index(query: dict[str, Any]) -> Response:
    """A page of your history

    Newest first, without texts beyond the first words of the input and, with `q`, the words around what was found. A
    search finds what is over, by its input and output. `next` and `prev` want the same filters again.
    """
    page = services().history.page(owner_named(query["owner"]), query["cursor"], query["limit"], read_filters(query))
    return json_response(
        {"items": [history_summary_json(item) for item in page.items], "next": page.next, "prev": page.prev}
    )


@blp.route("", methods=["DELETE"])
@blp.response(200, DeletedSchema)
@blp.problems("not-authenticated", "csrf", "storage-unavailable", "storage-busy")
@blp.doc(operationId="deleteHistory")
def clear() -> Response:
    """Delete your whole history

    The rows, their texts, and what the cache holds of them. It cannot be undone.
    """
    return json_response({"deleted": services().history.delete_all(owner())})


@blp.route("/export")
@blp.query(ExportQuerySchema)
@blp.response(200, ExportSchema)
@blp.alt_response(200, schema={"type": "string"}, content_type="application/jsonl", success=True)
@blp.alt_response(200, schema={"type": "string"}, content_type="text/csv", success=True)
@blp.problems("not-authenticated", "invalid-input", "invalid-character", "storage-unavailable")
@blp.doc(operationId="exportHistory")
def export(query: dict[str, Any]) -> Response:
    """Your history as a file

    All of it, or what the filters leave; newest first. Streamed, so that its size does not matter. `json` is one object,
    `jsonl` one object a line, `csv` has a line of names and RFC 4180's quotes; a `'` stands in front of texts that a
    spreadsheet would take for a formula.
    """
    return export_file(
        services().history.export(owner_named(query["owner"]), read_filters(query)), services().clock, query["format"]
    )


@blp.route("/<request_id>")
@blp.response(200, HistoryItemSchema)
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(operationId="getGeneration")
def show(request_id: str) -> Response:
    """One entry, whole

    Another owner's entry is 404, but for a key of scope `admin`.
    """
    return json_response(history_item_json(services().history.get(owner_of(request_id), request_id)))


@blp.route("/<request_id>", methods=["DELETE"])
@blp.response(204)
@blp.problems("not-authenticated", "csrf", "not-found", "storage-unavailable", "storage-busy")
@blp.doc(operationId="deleteGeneration")
def delete(request_id: str) -> Response:
    """Delete one entry

    One that runs is cancelled first. Its texts go with the last entry that shares them.
    """
    services().history.delete(owner_of(request_id), request_id)
    return Response(status=204)


@blp.route("/<request_id>/output.txt")
@blp.response(200, {"type": "string"}, content_type="text/plain")
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(operationId="downloadOutput")
def output(request_id: str) -> Response:
    """The output as a text file

    404 where the generation has no output.
    """
    return output_file(services().history.get(owner_of(request_id), request_id))


@blp.route("/<request_id>/events")
@blp.response(200, EventSchema, content_type="text/event-stream", description="The answer as it comes.")
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(
    operationId="joinGeneration",
    parameters=[
        {
            "in": "header",
            "name": "Last-Event-ID",
            "description": "The last `id` that was received: the stream goes on behind it, without `start`.",
            "schema": {"type": "string"},
        }
    ],
)
def events(request_id: str) -> Response:
    """Join a running generation, or replay a finished one

    The events are those of a streamed generate call. Nothing is asked of the model for it. A generation that another
    process of the service runs gives its text at its end.
    """
    return join_generation(services().live.subscribe(owner_of(request_id), request_id, last_event_id()))


@blp.route("/<request_id>/cancel", methods=["POST"])
@blp.response(200, HistoryItemSchema)
@blp.problems("not-authenticated", "csrf", "not-found", "storage-unavailable", "storage-busy")
@blp.doc(operationId="cancelGeneration")
def cancel(request_id: str) -> Response:
    """Stop a running generation

    The call to the model is closed, unless other requests share it, and what came of the answer is kept. Who waits for
    it gets `cancelled`. A generation that has ended is returned unchanged. Its texts are null for a key without the
    scope `history`.
    """
    generation = services().live.cancel(owner_of(request_id), request_id)
    may_read = caller().may(Scope.HISTORY)
    return json_response(history_item_json(generation if may_read else generation.without_texts()))
