"""Each row of the matrix: the service as a process, its providers of each kind, and servers that replay transcripts."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from llm_service.web.http.problems import PROBLEMS
from tests.servers.calls import PROMPTS, Answer, ask, events_of, request_for, streamed
from tests.servers.rows import BEGINNING, CHAT, COLUMNS, RESPONSES, ROWS, Row, name_of
from tests.support.calls import get
from tests.support.clocks import until
from tests.support.processes import Server, serving
from tests.support.upstream import Upstream
from tests.support.upstream_replay import TRANSCRIPTS, all_transcripts, replay_of

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
    assert len(upstream.calls_of(model)) == before + row.streamed_calls


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
    assert body["cost_usd"] == row.cost, "another server's price is not known"
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
