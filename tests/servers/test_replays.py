"""The scripted upstream sends bodies of other servers byte by byte."""

import json
from pathlib import Path

import httpx2
import pytest

from tests.support.upstream import Upstream
from tests.support.upstream_replay import all_transcripts, replay_of


@pytest.mark.parametrize(
    ("name", "model", "status", "media"),
    [
        ("two-words.sse", "replay-some-server-two-words", 200, "text/event-stream"),
        ("too-many.429.json", "replay-some-server-too-many", 429, "application/json"),
        ("page.404.html", "replay-some-server-page", 404, "text/html"),
        ("bare.txt", "replay-some-server-bare", 200, None),
    ],
)
def test_a_models_name_is_a_file(
    upstream: Upstream, tmp_path: Path, name: str, model: str, status: int, media: str | None
) -> None:
    (tmp_path / "some-server").mkdir()
    (tmp_path / "some-server" / name).write_bytes(b"data: \xff\r\n\n")
    assert all_transcripts(tmp_path) == [model]
    replay = replay_of(model, tmp_path)
    assert replay
    upstream.replays[model] = replay.in_pieces(3)
    with httpx2.Client(trust_env=False) as client:
        answer = client.post(f"{upstream.base_url}/responses", content=json.dumps({"model": model}))
    assert (answer.status_code, answer.headers.get("content-type")) == (status, media)
    assert answer.content == b"data: \xff\r\n\n"


def test_every_transcript_is_found_by_its_own_name() -> None:
    for model in all_transcripts():
        replay = replay_of(model)
        assert replay is not None, model
        assert replay.body


def test_other_models_are_not_files(tmp_path: Path) -> None:
    for model in ("replay-some-server-two-words", "replay", "normal"):
        assert replay_of(model, tmp_path) is None
