"""Calls of the service as a process, to the templates of this folder, by the names of cases."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_service.web.http.problems import PROBLEMS
from tests.support.processes import Server

PROMPTS = Path(__file__).parent / "prompts"
TEMPLATES = {"json": "tree_label_v1", "cut": "short_tree_v1", "only-thinking": "short_tree_v1"}
# In tokens, far more than the shortened input that a server counts.
LONG_INPUT = "Lobed leaves, and acorns on long stems. " * 250


@dataclass(frozen=True)
class Answer:
    """Of the service. `streamed`: the deltas; None = the answer was not streamed."""

    status: int
    body: dict[str, Any]
    cache: str = ""
    streamed: str | None = None


def ask(server: Server, model: str, case: str, **more: Any) -> Answer:
    try:
        with urllib.request.urlopen(request_for(server, model, case, **more), timeout=60) as response:
            if response.headers.get_content_type() == "text/event-stream":
                return streamed(list(events_of(response)))
            return Answer(response.status, json.load(response), response.headers["Cache-Status"])
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.load(error))


def request_for(server: Server, model: str, case: str, **more: Any) -> urllib.request.Request:
    text = LONG_INPUT if case == "too-long" else "Lobed leaves."
    body = {"template_id": TEMPLATES.get(case, "tree_v1"), "input": text, "model": model, **more}
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache" if more.get("stream") else "max-age=60"}
    return urllib.request.Request(f"{server.base_url}/api/v1/generate", json.dumps(body).encode(), headers)


def events_of(lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def streamed(events: list[tuple[str, Any]]) -> Answer:
    last, body = events[-1]
    assert last in ("done", "error")
    deltas = "".join(data["text"] for event, data in events if event == "delta")
    return Answer(200 if last == "done" else PROBLEMS[body["error"]].status, body, streamed=deltas)
