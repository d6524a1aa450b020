"""Downloads. File names never contain a user's text."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from flask import Response

from llm_service.core.clock import Clock
from llm_service.core.errors import NotFound
from llm_service.core.generation.model import Generation

from .schemas.base import rfc3339
from .schemas.generation import output_json
from .schemas.history import EXPORT_FORMATS, history_item_json

_OUTPUT_TYPES = {"txt": "text/plain", "json": "application/json"}
CHUNK_CHARS = 32 * 1024
MAX_CHUNK_CHARS = 256 * 1024
CSV_COLUMNS = (
    "request_id", "created_at", "finished_at", "template_id", "template_revision", "model", "provider", "status",
    "incomplete_reason", "error", "cached", "attempts", "input", "parameters", "options", "output", "system_prompt", "user_prompt",
    "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens",
    "billed_input_tokens", "billed_cached_input_tokens", "billed_output_tokens", "billed_reasoning_tokens",
    "cost_usd", "saved_usd", "price_version", "latency_ms", "cache_key", "warnings", "fallbacks",
    "starred", "tags", "over_excel_limit",
)  # fmt: skip
# Excel cuts longer cells, and says nothing. It counts a character beyond the first 65,536 of Unicode as two.
EXCEL_CELL_CHARS = 32_767
_BOM = "\ufeff"
# What a spreadsheet takes for the start of a formula, including full-width characters.
_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def output_name(generation: Generation) -> str:
    """The name of the page's download: `output.json` for a valid JSON answer, else `output.txt`."""
    return "output.txt" if output_json(generation) is None else "output.json"


def output_file(generation: Generation, format: str = "txt") -> Response:
    """The output as plain text or as JSON, unchanged.

    Raises `NotFound` if there is none.
    """
    if generation.output is None or (format == "json" and output_json(generation) is None):
        raise NotFound("This generation has no output." if format == "txt" else "This generation has no JSON output.")
    response = Response(generation.output, mimetype=_OUTPUT_TYPES[format])
    return _attach(response, f"generation-{generation.request_id}.{format}")


def export_file(
    generations: Iterator[Generation], clock: Clock, format: str = "json", *, bom: bool = False
) -> Response:
    """`format` is one of `EXPORT_FORMATS`. The file is streamed while the rows are read.

    `bom`: a CSV begins with a byte order mark, without which Excel takes UTF-8 for the encoding of its country.

    Raises `StorageError` if the first row cannot be read.
    """
    first = next(generations, None)
    rows = generations if first is None else chain([first], generations)
    pieces = export_pieces(rows, clock, format)
    if bom and format == "csv":
        pieces = chain([_BOM], pieces)
    response = Response(chunked(pieces), mimetype=EXPORT_FORMATS[format])
    return _attach(response, f"history.{format}")


def export_pieces(generations: Iterable[Generation], clock: Clock, format: str) -> Iterator[str]:
    return _WRITERS[format](generations, clock)


def chunked(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces joined into chunks worth sending, and long ones cut; others get the processor between them.

    A slow reader holds the text of a long piece once, not also as the bytes of one huge chunk.
    """
    held: list[str] = []
    chars = 0
    for piece in pieces:
        held.append(piece)
        chars += len(piece)
        if chars >= CHUNK_CHARS:
            whole = "".join(held)
            held, chars = [], 0
            for start in range(0, len(whole), MAX_CHUNK_CHARS):
                yield whole[start : start + MAX_CHUNK_CHARS]
                time.sleep(0)
    yield "".join(held)


def _attach(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _json_export(generations: Iterable[Generation], clock: Clock) -> Iterator[str]:
    """`{exported_at, items}`."""
    yield f'{{"exported_at": "{rfc3339(clock.now_ms())}", "items": ['
    separator = "\n"
    for generation in generations:
        yield separator + json.dumps(history_item_json(generation), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def _jsonl_export(generations: Iterable[Generation], _clock: Clock) -> Iterator[str]:
    for generation in generations:
        yield json.dumps(history_item_json(generation), ensure_ascii=False) + "\n"


def _csv_export(generations: Iterable[Generation], _clock: Clock) -> Iterator[str]:
    """RFC 4180 with a header line. Text that a spreadsheet would run as a formula is prefixed with a '.

    Text is never cut. `over_excel_limit` names the columns that Excel would cut.
    """
    yield _csv_line(CSV_COLUMNS)
    for generation in generations:
        yield _csv_line(_cells(history_item_json(generation)))


def _csv_line(cells: Sequence[str]) -> str:
    # A buffer for each line: it has four bytes for each character, which a slow reader must not hold.
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _cells(entry: dict[str, Any]) -> list[str]:
    values = entry | {f"billed_{name}": tokens for name, tokens in entry["billed"].items()}
    values |= {"warnings": entry["warnings"] or None, "tags": entry["tags"] or None, "over_excel_limit": None}
    cells = [_cell(values[name]) for name in CSV_COLUMNS]
    too_long = [name for name, cell in zip(CSV_COLUMNS, cells, strict=True) if _excel_cuts(cell)]
    cells[-1] = " ".join(too_long)
    return cells


def _excel_cuts(cell: str) -> bool:
    if 2 * len(cell) <= EXCEL_CELL_CHARS:
        return False
    return len(cell) > EXCEL_CELL_CHARS or len(cell.encode("utf-16-le")) // 2 > EXCEL_CELL_CHARS


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA_MARKS) else text


_WRITERS: dict[str, Callable[[Iterable[Generation], Clock], Iterator[str]]] = {
    "json": _json_export,
    "jsonl": _jsonl_export,
    "csv": _csv_export,
}
