"""Edited prompt files in a running server with two workers: taken over whole, in both, or not at all."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.clocks import until
from tests.support.constants import ROOT
from tests.support.processes import Server, serving
from tests.support.upstream import Upstream

WAIT_S = 60
SUMMARIZE = (ROOT / "prompts" / "summarize_v1.prompty").read_text()


def call(server: Server, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.base_url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as response:
        return json.load(response)


def readiness(server: Server) -> str:
    try:
        return str(call(server, "/api/v1/ready")["status"])
    except urllib.error.HTTPError as error:
        return str(json.load(error)["status"])


@contextmanager
def alone(server: Server, pid: int) -> Iterator[None]:
    """Only this worker answers: the others are stopped meanwhile."""
    others = [other for other in server.workers() if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def in_every_worker(server: Server, look: Callable[[], Any]) -> list[Any]:
    found = []
    for pid in server.workers():
        with alone(server, pid):
            found.append(look())
    return found


@pytest.fixture(name="prompts")
def _prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "summarize_v1.prompty").write_text(SUMMARIZE)
    return folder


@pytest.fixture(name="server")
def _server(tmp_path: Path, prompts: Path, upstream: Upstream) -> Iterator[Server]:
    with serving(
        tmp_path,
        WEB_CONCURRENCY="2",
        APP_PROMPTS_DIR=str(prompts),
        OPENAI_BASE_URL=upstream.base_url,
        OPENAI_MODEL="normal",
        APP_MODELS="normal,slow-3",
    ) as server:
        yield server


def test_an_edit_is_taken_over_in_every_worker(server: Server, prompts: Path) -> None:
    def revision() -> str:
        return str(call(server, "/api/v1/templates/summarize")["revision"])

    def document() -> str:
        return str(call(server, "/openapi.json")["paths"]["/api/v1/templates/summarize_v1/generate"]["post"])

    old = revision()
    assert len(server.workers()) == 2
    (prompts / "summarize_v1.prompty").write_text(SUMMARIZE.replace("five short", "three short"))
    until(lambda: old not in in_every_worker(server, revision))
    (new,) = set(in_every_worker(server, revision))
    assert all(new in text for text in in_every_worker(server, document))
    answer = call(server, "/api/v1/templates/summarize/generate", {"input": "Hi"})
    assert (answer["template_revision"], "three short" in answer["system_prompt"]) == (new, True)
    (prompts / "summarize_v2.prompty").write_text(SUMMARIZE)
    until(
        lambda: (
            {"summarize_v2"} == set(in_every_worker(server, lambda: call(server, "/api/v1/templates/summarize")["id"]))
        )
    )


def test_a_fault_keeps_the_last_good_set_and_is_told(server: Server, prompts: Path) -> None:
    before = call(server, "/api/v1/templates")
    broken = SUMMARIZE.replace("kind: string", "kind: text")
    line = broken[: broken.index("kind: text")].count("\n") + 1
    (prompts / "summarize_v1.prompty").write_text(broken)
    (prompts / "fine_v1.prompty").write_text(SUMMARIZE)
    place = f"summarize_v1.prompty:{line}: "
    until(lambda: all(in_every_worker(server, lambda: call(server, "/api/v1/status")["template_faults"])))
    ready = call(server, "/api/v1/ready")
    assert ready["status"] == "degraded"
    assert ready["checks"]["templates"].startswith(place)
    assert call(server, "/api/v1/status")["template_faults"][0].startswith(place)
    with urllib.request.urlopen(server.base_url + "/templates") as page:
        assert place in page.read().decode()
    assert call(server, "/api/v1/templates") == before, "the good new file waits for the broken one"
    assert call(server, "/api/v1/templates/summarize/generate", {"input": "Hi"})["status"] == "completed"
    (prompts / "summarize_v1.prompty").write_text(SUMMARIZE)
    until(lambda: in_every_worker(server, lambda: readiness(server)) == ["ready"] * 2)
    assert len(call(server, "/api/v1/templates")["items"]) == 2
    assert str(prompts) in server.log.read_text(), "the operator's log names the whole path"


def test_a_worker_that_dies_comes_back_with_the_last_good_set(server: Server, prompts: Path) -> None:
    before = call(server, "/api/v1/templates/summarize")["revision"]
    (prompts / "summarize_v1.prompty").write_text("broken")
    until(lambda: all(in_every_worker(server, lambda: call(server, "/api/v1/status")["template_faults"])))
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(server.workers()) == 2 and victim not in server.workers())
    until(lambda: readiness(server) == "degraded")
    assert in_every_worker(server, lambda: call(server, "/api/v1/templates/summarize")["revision"]) == [before] * 2
    assert server.process.poll() is None
    (prompts / "summarize_v1.prompty").write_text(SUMMARIZE)
    until(lambda: in_every_worker(server, lambda: readiness(server)) == ["ready"] * 2)


def test_a_generation_keeps_the_revision_that_it_began_with(server: Server, prompts: Path) -> None:
    old = call(server, "/api/v1/templates/summarize")["revision"]
    answers: list[Any] = []
    body = {"input": "Hi", "model": "slow-3"}
    asking = threading.Thread(
        target=lambda: answers.append(call(server, "/api/v1/templates/summarize_v1/generate", body))
    )
    asking.start()
    until(lambda: call(server, "/api/v1/history")["items"] != [])
    (prompts / "summarize_v1.prompty").write_text(SUMMARIZE.replace("five short", "three short"))
    until(lambda: call(server, "/api/v1/templates/summarize")["revision"] != old)
    asking.join(WAIT_S)
    (answer,) = answers
    assert (answer["template_revision"], "five short" in answer["system_prompt"]) == (old, True)
