"""The version before goes on working while a new one has migrated the database that both use."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.clocks import until
from tests.support.constants import KEY_CANARY, ROOT
from tests.support.processes import Server, environment, free_port, serving, stop, wait_until_ready
from tests.support.upstream import Upstream

# The newest version whose schema is 0010, before it told which programs can work on it.
BEFORE = "5f18f48e29b1ad59fc5fd37615680dfde86af636"


def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([shutil.which("git") or "git", *arguments], cwd=ROOT, capture_output=True, check=False)


@pytest.fixture(scope="module", name="before")
def _before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkout. A shallow clone does not have it."""
    archive = git("archive", BEFORE)
    if archive.returncode:
        is_shallow = git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false"
        message = f"the history does not have the commit {BEFORE}"
        (pytest.fail if os.environ.get("CI") == "true" and not is_shallow else pytest.skip)(message)
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class Node:
    def __init__(self, server: Server, key: str) -> None:
        self.server, self.key = server, key

    def ask(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server.base_url}/api/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def generate(self, text: str, **more: Any) -> tuple[int, Any]:
        return self.ask("generate", {"template_id": "basic_chat_v1", "input": text, **more})


def run_before(before: Path, folder: Path, *command: str, **environ: str) -> "subprocess.Popen[bytes]":
    env = {**environment(folder, **environ), "PYTHONPATH": str(before), "APP_PROMPTS_DIR": str(before / "prompts")}
    with (folder / "before.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, stdout=log, stderr=log)


@pytest.fixture(scope="module", name="nodes")
def _nodes(before: Path, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[tuple[Node, Node]]:
    """The one of before, which made the database, and a new one, which has migrated it."""
    tmp_path = tmp_path_factory.mktemp("nodes")
    environ = {
        "OPENAI_API_KEY": KEY_CANARY, "OPENAI_BASE_URL": upstream.base_url, "OPENAI_MODEL": "normal",
        "APP_MODELS": "normal,slow-60", "APP_AUTH": "required", "APP_LIMIT_CONCURRENT": "2", "APP_GRACE_S": "3", "APP_ABANDON_GRACE_S": "never",
    }  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "create", "ci", "--scope", "generate,history,usage"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**environment(tmp_path, **environ), "PYTHONPATH": str(before)},
    )  # fmt: skip
    key, port = made.stdout.strip(), str(free_port())
    config = str(before / "deploy/gunicorn.conf.py")
    process = run_before(before, tmp_path, "gunicorn", "-c", config, "wsgi:app", **environ, PORT=port)
    try:
        old = Server(f"http://127.0.0.1:{port}", process, tmp_path / "before.log")
        wait_until_ready(old)
        with serving(tmp_path, **environ, PORT=str(free_port())) as new:
            yield Node(old, key), Node(new, key)
    finally:
        stop(process)


def test_both_versions_serve_from_one_database(nodes: tuple[Node, Node]) -> None:
    for node, other in (nodes, nodes[::-1]):
        status, answer = node.generate(f"a question to {node.server.base_url}")
        assert (status, answer["status"]) == (200, "completed")
        assert other.ask(f"history/{answer['request_id']}")[1]["output"] == answer["output"]
        _, found = other.ask(f"history?q={node.server.base_url.rsplit(':', 1)[1]}")
        assert [item["request_id"] for item in found["items"]] == [answer["request_id"]]
    seen = [node.ask("usage?group_by=owner")[1]["items"][0]["requests"] for node in nodes]
    assert seen[0] == seen[1] >= 2


def test_limits_and_cancelling_work_across_both(nodes: tuple[Node, Node]) -> None:
    def running() -> list[str]:
        _, found = nodes[0].ask("history?status=running")
        return [item["request_id"] for item in found["items"]]

    for number, node in enumerate(nodes):
        request = urllib.request.Request(
            f"{node.server.base_url}/api/v1/generate",
            json.dumps(
                {"template_id": "basic_chat_v1", "input": f"n{number}", "model": "slow-60", "stream": True}
            ).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {node.key}"},
        )
        urllib.request.urlopen(request, timeout=30).close()  # `start` has come, and it goes on without a caller
        assert len(running()) == number + 1
    assert [node.generate("one too many")[0] for node in nodes] == [429, 429]
    for request_id, node in zip(running(), nodes, strict=True):  # each stops the one of the other
        assert node.ask(f"history/{request_id}/cancel", {}, "POST")[0] == 200
    until(lambda: not running())
    assert [node.generate(f"room again {node.server.base_url}")[0] for node in nodes] == [200, 200]
