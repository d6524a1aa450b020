"""The history of generations."""

from typing import Any

from flask import Response

from llm_service.core.access.caller import Scope
from llm_service.core.history.model import MarkChanges
from llm_service.core.history.tags import read_tags

from ..context import caller, owner, services
from ..exports import export_file, output_file
from ..filters import read_filters
from ..http.sse import last_event_id
from ..schemas.generation import EVENT_STREAM
from ..schemas.history import (
    DeletedSchema,
    ExportQuerySchema,
    ExportSchema,
    HistoryItemSchema,
    HistoryPageSchema,
    HistoryQuerySchema,
    MarksSchema,
    history_item_json,
    history_summary_json,
)
from ..security.admin_access import resolve_generation_owner, resolve_owner
from .blueprint import Blueprint, json_response
from .events import join_generation

blp = Blueprint("history", __name__, url_prefix="/api/v1/history", description="Stored generations")


@blp.route("")
@blp.query(HistoryQuerySchema)
@blp.response(200, HistoryPageSchema)
@blp.problems("not-authenticated", "invalid-input", "invalid-character", "storage-unavailable")
@blp.doc(operationId="listHistory")
def index(query: dict[str, Any]) -> Response:
    """List your history

    Newest first. Entries contain only the first words of the input and, with `q`, the text around the match. A search covers the
    inputs and outputs of finished generations. Repeat the same filters with a `next` or `prev` cursor.
    With filters, a page covers at most 100,000 entries, so it may have few items or none: continue while there is a `next`.
    """
    page = services().history.page(resolve_owner(query["owner"]), query["cursor"], query["limit"], read_filters(query))
    return json_response(
        {"items": [history_summary_json(item) for item in page.items], "next": page.next, "prev": page.prev}
    )


@blp.route("", methods=["DELETE"])
@blp.response(200, DeletedSchema)
@blp.problems("not-authenticated", "csrf", "storage-unavailable", "storage-busy")
@blp.doc(operationId="deleteHistory")
def clear() -> Response:
    """Delete your entire history

    Deletes all entries, their texts, and their cached answers. This cannot be undone.
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
    """Export your history as a file

    Newest first, with the filters of the list. The file is streamed, so it may be of any size. `json` is a single object, `jsonl`
    has an object on each line, and `csv` follows RFC 4180 with a header line. In CSV, a `'` precedes text that a spreadsheet
    would run as a formula. Texts are never cut: `over_excel_limit` names the columns whose text is longer than the 32,767 characters
    that fit a cell in Excel.
    """
    generations = services().history.export(resolve_owner(query["owner"]), read_filters(query))
    return export_file(generations, services().clock, query["format"], bom=query["bom"] == "1")


@blp.route("/<request_id>")
@blp.response(200, HistoryItemSchema)
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(operationId="getGeneration")
def show(request_id: str) -> Response:
    """Get an entry

    Another owner's entry is 404, except for keys with the scope `admin`.
    """
    return json_response(history_item_json(services().history.get(resolve_generation_owner(request_id), request_id)))


@blp.route("/<request_id>", methods=["PATCH"])
@blp.body(MarksSchema())
@blp.response(200, HistoryItemSchema)
@blp.problems(
    "not-authenticated", "csrf", "not-found", "invalid-json", "duplicate-key", "too-deep", "too-large",
    "unsupported-media-type", "invalid-input", "invalid-character", "storage-unavailable", "storage-busy", "storage-full",
)  # fmt: skip
@blp.doc(operationId="markGeneration")
def mark(values: dict[str, Any], request_id: str) -> Response:
    """Star or tag an entry

    Changes the star, the tags, or both. Returns the entry as it is now. Marks are deleted with their entry.
    """
    tags = read_tags("tags", values["tags"]) if "tags" in values else None
    entry_owner = resolve_generation_owner(request_id)
    changes = MarkChanges(starred=values.get("starred"), tags=tags)
    services().history.mark(entry_owner, request_id, changes, services().clock.now_ms())
    return json_response(history_item_json(services().history.get(entry_owner, request_id)))


@blp.route("/<request_id>", methods=["DELETE"])
@blp.response(204)
@blp.problems("not-authenticated", "csrf", "not-found", "storage-unavailable", "storage-busy")
@blp.doc(operationId="deleteGeneration")
def delete(request_id: str) -> Response:
    """Delete an entry

    A running generation is cancelled first. Texts that other entries share are deleted with the last of them.
    """
    services().history.delete(resolve_generation_owner(request_id), request_id)
    return Response(status=204)


@blp.route("/<request_id>/output.txt")
@blp.response(200, {"type": "string"}, content_type="text/plain")
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(operationId="downloadOutput")
def output(request_id: str) -> Response:
    """Download the output as a text file

    404 if the generation has no output.
    """
    return output_file(services().history.get(resolve_generation_owner(request_id), request_id))


@blp.route("/<request_id>/events")
@blp.response(200, EVENT_STREAM, content_type="text/event-stream", description="The answer as a stream of events.")
@blp.alt_response(204, description="You have received everything, the last event included: do not connect again.")
@blp.problems("not-authenticated", "not-found", "storage-unavailable")
@blp.doc(
    operationId="joinGeneration",
    parameters=[
        {
            "in": "header",
            "name": "Last-Event-ID",
            "description": "The last `id` that you received. The stream continues after it, without `start`.",
            "schema": {"type": "string"},
        }
    ],
)
def events(request_id: str) -> Response:
    """Stream a running or finished generation

    Sends the same events as a streamed generate call, without calling the model. If another process runs the generation, its text
    is sent when it ends. A browser's EventSource connects again after each stream, with the last `id` that it received: if nothing
    follows, the status is 204, and it stops.
    """
    return join_generation(
        services().running.subscribe(resolve_generation_owner(request_id), request_id, last_event_id())
    )


@blp.route("/<request_id>/cancel", methods=["POST"])
@blp.response(200, HistoryItemSchema)
@blp.problems("not-authenticated", "csrf", "not-found", "storage-unavailable", "storage-busy")
@blp.doc(operationId="cancelGeneration")
def cancel(request_id: str) -> Response:
    """Stop a running generation

    Ends the call to the model, unless other requests share it, and keeps the partial answer. Callers that wait for it get the
    error `cancelled`. A finished generation is returned unchanged. Its texts are null for keys without the scope `history`.
    """
    generation = services().running.cancel(resolve_generation_owner(request_id), request_id)
    may_read = caller().may(Scope.HISTORY)
    return json_response(history_item_json(generation if may_read else generation.without_texts()))
