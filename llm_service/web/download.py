"""Files that a browser saves: names are ours, never a user's text."""

import json
from collections.abc import Iterator

from flask import Response

from llm_service.core.errors import NotFound
from llm_service.core.model import Generation
from llm_service.core.ports import Clock

from .representation import rfc3339, whole_json


def output_file(generation: Generation) -> Response:
    """The output as plain text.

    Raises `NotFound` where there is none.
    """
    if generation.output is None:
        raise NotFound("This generation has no output.")
    response = Response(generation.output, mimetype="text/plain")
    return _attach(response, f"generation-{generation.request_id}.txt")


def export_file(generations: Iterator[Generation], clock: Clock) -> Response:
    """`{exported_at, items}` as JSON, written while the rows are read."""
    response = Response(_json_export(generations, rfc3339(clock.now_ms())), mimetype="application/json")
    return _attach(response, "history.json")


def _attach(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _json_export(generations: Iterator[Generation], exported_at: str) -> Iterator[str]:
    yield f'{{"exported_at": "{exported_at}", "items": ['
    separator = "\n"
    for generation in generations:
        yield separator + json.dumps(whole_json(generation), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"
