"""The scripted upstream sends files of other servers byte by byte."""

import json

import httpx2

from tests.support.upstream import Upstream
from tests.support.upstream_replay import TRANSCRIPTS, all_transcripts, replay_of


def test_a_models_name_is_a_file(upstream: Upstream) -> None:
    for model, status, media, name in (
        ("replay-example-two-words", 200, "text/event-stream", "two-words.sse"),
        ("replay-example-too-many", 429, "application/json", "too-many.429.json"),
    ):
        with httpx2.Client(trust_env=False) as client:
            answer = client.post(f"{upstream.base_url}/responses", content=json.dumps({"model": model}))
        assert (answer.status_code, answer.headers["content-type"]) == (status, media)
        assert answer.content == (TRANSCRIPTS / "example" / name).read_bytes()
        assert model in all_transcripts()


def test_every_transcript_is_found_by_its_own_name() -> None:
    for model in all_transcripts():
        replay = replay_of(model)
        assert replay is not None, model
        assert replay.body


def test_other_models_are_not_files() -> None:
    assert replay_of("replay-example-nothing") is None
    assert replay_of("replay-nobody-two-words") is None
    assert replay_of("normal") is None
