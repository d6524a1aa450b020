"""Each row of the matrix: the service as a process, its providers of each kind, and servers that replay transcripts."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from llm_service.web.http.problems import PROBLEMS
from tests.servers.matrix import PAGE, generated
from tests.servers.rows import BEGINNING, CHAT, COLUMNS, RESPONSES, ROWS, Row, name_of
from tests.support.calls import get
from tests.support.clocks import until
from tests.support.processes import Server, serving
from tests.support.upstream import Upstream
from tests.support.upstream_replay import TRANSCRIPTS, all_transcripts, replay_of

pytestmark = pytest.mark.slow
PROMPTS = Path(__file__).parent / "prompts"
TEMPLATES = {"json": "tree_label_v1", "cut": "short_tree_v1", "only-thinking": "short_tree_v1"}
# In tokens, far more than the shortened input that a server counts.
LONG_INPUT = "Lobed leaves, and acorns on long stems. " * 250
COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "providers.yaml").write_text(json.dumps({"providers": dict(providers(upstream))}))
    with serving(
        folder,
        APP_PROVIDERS_FILE=str(folder / "providers.yaml"),
        APP_PROMPTS_DIR=str(PROMPTS),
        TREE_KEY="sk-tree",
    ) as server:
        yield server


def providers(upstream: Upstream) -> Iterator[tuple[str, Any]]:
    """One for each server and kind, so that no circuit breaker is another's."""
    for server, kind in COLUMNS:
        models = [name_of(server, "cancel", kind), *(name_of(*row) for row in ROWS if row[::2] == (server, kind))]
        shown_kind = "azure" if (server, kind) == ("azure", RESPONSES) else kind
        yield (
            server if kind == RESPONSES else f"{server}-{kind}",
            {"kind": shown_kind, "base_url": upstream.base_url, "api_key_env": "TREE_KEY", "models": models},
        )


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


@pytest.mark.parametrize("key", ROWS, ids=lambda key: "-".join(key))
def test_row(server: Server, upstream: Upstream, key: tuple[str, str, str]) -> None:
    (_, case, _), model, row = key, name_of(*key), ROWS[key]
    plain = ask(server, model, case)
    assert len(upstream.calls_of(model)) == row.calls
    check(server, row, plain)
    if not row.error:
        assert plain.cache.endswith("stored" if row.stored else "fwd=miss")
        again = ask(server, model, case)
        assert again.body["cached"] is row.stored
    before = len(upstream.calls_of(model))
    check(server, row, ask(server, model, case, stream=True))
    assert len(upstream.calls_of(model)) == before + 1


def check(server: Server, row: Row, answer: Answer) -> None:
    if row.error:
        check_error(server, row, answer)
        return
    assert answer.status == 200, answer.body
    body = answer.body
    assert (body["output"], body["incomplete_reason"]) == (row.text, row.incomplete)
    assert body["status"] == ("incomplete" if row.incomplete else "completed")
    if row.tokens is not None:
        told = row.tokens
        assert [body[name] for name in COUNTS] == [told.input, told.output, told.cached, told.reasoning]
    if row.warning is not None:
        assert [warning["code"] for warning in body["warnings"]] == [row.warning]
    if answer.streamed is not None:
        assert row.text in answer.streamed if row.fenced else answer.streamed == row.text


def check_error(server: Server, row: Row, answer: Answer) -> None:
    assert row.error is not None
    assert (answer.status, answer.body.get("error")) == (PROBLEMS[row.error].status, row.error), answer.body
    assert [words for words in row.says if words not in answer.body["detail"]] == []
    kept = get(server, f"history/{answer.body['request_id']}")
    assert (kept["status"], kept["output"] or "") == ("failed", row.text)
    if answer.streamed is not None:
        assert answer.streamed == row.text


@pytest.mark.parametrize(("name", "kind"), COLUMNS)
def test_cancel(server: Server, upstream: Upstream, name: str, kind: str) -> None:
    """While the second half of an answer is awaited."""
    model, replay = name_of(name, "cancel", kind), replay_of(name_of(name, "stream", kind))
    assert replay is not None
    second = replay.body.rindex(b"\n\n", 0, replay.body.index(b"lobed leaves")) + 2
    upstream.replays[model] = replace(replay, body=replay.body[:second], holds=True)
    with urllib.request.urlopen(request_for(server, model, "cancel", stream=True), timeout=60) as response:
        events = events_of(response)
        start, first = next(events), next(events)
        assert first == ("delta", {"text": BEGINNING})
        open_before = upstream.open_connections
        cancelled = get(server, f"history/{start[1]['request_id']}/cancel", b"")
        answer = streamed([start, first, *events])
    assert (cancelled["status"], cancelled["output"]) == ("cancelled", BEGINNING)
    assert (answer.body["error"], answer.streamed) == ("cancelled", BEGINNING)
    until(lambda: upstream.open_connections < open_before)
    assert len(upstream.calls_of(model)) == 1


def test_each_transcript_has_a_row() -> None:
    assert all_transcripts() == sorted(name_of(*key) for key in ROWS)
    assert {path.name for path in TRANSCRIPTS.iterdir()} == {server for server, _ in COLUMNS}
    assert {kind for _, kind in COLUMNS} == {RESPONSES, CHAT}


def test_the_matrix_is_up_to_date() -> None:
    assert generated() == PAGE.read_text(), "docs/servers.md is out of date. Run: make docs"
