"""The providers file of a running server: edits are used at once, faults keep the last good providers, keys stay secret."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import ask, get
from tests.support.clocks import until
from tests.support.processes import Server, gunicorn, serving
from tests.support.providers import write_providers
from tests.support.upstream import Upstream

ENV_KEY, FILE_KEYS = "env-canary-0123456789", ("file-canary-0123456789", "rotated-canary-0123456789")


@pytest.fixture(name="other")
def _other() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="file")
def _file(tmp_path: Path, upstream: Upstream, other: Upstream) -> Path:
    (tmp_path / "other.key").write_text(FILE_KEYS[0])
    return write_providers(
        tmp_path,
        f"""\
        providers:
          first: {{kind: responses, base_url: "{upstream.base_url}", api_key_env: FIRST_KEY, models: [normal]}}
          other: {{kind: chat, base_url: "{other.base_url}", api_key_file: other.key, models: [beta, tokens-40-10]}}
        """,
    )


@pytest.fixture(name="server")
def _server(tmp_path: Path, file: Path) -> Iterator[Server]:
    with serving(
        tmp_path,
        APP_PROVIDERS_FILE=str(file),
        FIRST_KEY=ENV_KEY,
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        OPENAI_CUSTOM_HEADERS="X-Other-Secret: canary",
    ) as server:
        yield server


def status(server: Server) -> Any:
    return get(server, "status")


def test_good_then_broken_then_good(server: Server, file: Path, upstream: Upstream, other: Upstream) -> None:
    text = file.read_text()
    assert get(server, "ready")["status"] == "ready"
    for model, asked, key in (("normal", upstream, ENV_KEY), ("beta", other, FILE_KEYS[0])):
        code, answer = ask(server, model=model)
        assert (code, answer["model"]) == (200, model)
        call = asked.calls_of(model)[-1]
        assert call["headers"]["authorization"] == f"Bearer {key}"
        assert "x-other-secret" not in call["headers"], "headers for OpenAI are for no other server"

    file.write_text(text.replace("kind: chat", "kind: chatty").replace("[normal]", "[normal, normal]"))
    until(lambda: status(server)["provider_faults"])
    assert [fault.split(" ")[0] for fault in status(server)["provider_faults"]] == [
        "providers.yml:2:",
        "providers.yml:3:",
    ]
    ready = get(server, "ready")
    assert ready["status"] == "degraded"
    assert ready["checks"]["provider"].startswith(
        "providers.yml:2: first.models: normal appears twice; providers.yml:3:"
    )
    assert [ask(server, model=model, input="while broken")[0] for model in ("normal", "beta")] == [200, 200]

    file.write_text(text.replace("[beta,", "[gamma,"))
    until(lambda: "gamma" in status(server)["models"])
    assert (get(server, "ready")["status"], status(server)["provider_faults"]) == ("ready", [])
    assert [ask(server, model=model)[0] for model in ("gamma", "beta")] == [200, 422]
    log = server.log.read_text()
    assert "OPENAI_BASE_URL: is ignored, because APP_PROVIDERS_FILE is set" in log
    refused = next(json.loads(line) for line in log.splitlines() if '"refused"' in line)
    assert refused["faults"][0].startswith(f"{file}:2: ")


def test_a_key_is_replaced_without_a_restart_and_shown_nowhere(
    server: Server, file: Path, other: Upstream, tmp_path: Path
) -> None:
    assert ask(server, model="beta")[0] == 200
    (tmp_path / "other.key").write_text(FILE_KEYS[1])

    def asked_with() -> str:
        other.calls.clear()
        assert ask(server, model="beta", input=os.urandom(4).hex())[0] == 200
        return str(other.calls[0]["headers"]["authorization"])

    until(lambda: asked_with() == f"Bearer {FILE_KEYS[1]}")
    (tmp_path / "other.key").write_text("")
    until(lambda: status(server)["provider_faults"])
    assert asked_with() == f"Bearer {FILE_KEYS[1]}", "the last good key"
    shown = [json.dumps(get(server, path)) for path in ("status", "ready", "history", "templates")]
    with urllib.request.urlopen(f"{server.base_url}/status") as page:
        shown.append(page.read().decode())
    kept = [
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"
    ]
    for secret in (ENV_KEY, *FILE_KEYS):
        assert not any(secret in text for text in (*shown, *kept))


def test_a_running_answer_survives_a_reload(server: Server, file: Path, other: Upstream) -> None:
    text = file.read_text()
    body = {"template_id": "basic_chat_v1", "input": "Hi", "model": "tokens-40-10", "stream": True}
    request = urllib.request.Request(
        f"{server.base_url}/api/v1/generate", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        events = iter(response)
        assert next(events) == b"event: start\n" or b"start" in next(events)
        file.write_text(text.replace(", tokens-40-10]", "]").replace("kind: chat", "slots: 3, kind: chat"))
        until(lambda: "tokens-40-10" not in status(server)["models"])
        assert status(server)["upstream"]["in_flight"] == 1
        assert b"event: done\n" in list(events)
    until(lambda: other.open_connections == 0)
    assert ask(server, model="tokens-40-10")[0] == 422


def test_a_worker_that_dies_while_the_file_is_broken_comes_back_with_the_last_good_providers(
    server: Server, file: Path
) -> None:
    text = file.read_text()
    file.write_text("providers: [")
    until(lambda: status(server)["provider_faults"])
    (victim,) = server.workers()
    os.kill(victim, signal.SIGKILL)
    until(lambda: server.workers() not in ([], [victim]))

    def works_again() -> bool:
        try:
            return bool(get(server, "ready")["status"] == "degraded")
        except OSError:
            return False

    until(works_again)
    assert ask(server, model="beta")[0] == 200
    assert status(server)["provider_faults"]
    file.write_text(text)
    until(lambda: get(server, "ready")["status"] == "ready")


def test_descriptors_do_not_pile_up_over_reloads(server: Server, file: Path, other: Upstream) -> None:
    text = file.read_text()
    (worker,) = server.workers()

    def reload_and_ask(number: int) -> None:
        file.write_text(text.replace("kind: chat", f"slots: {number}, kind: chat"))
        until(lambda: status(server)["providers"][1]["slots"] == number)
        assert ask(server, model="beta", input=f"round {number}")[0] == 200

    reload_and_ask(10)
    before = len(os.listdir(f"/proc/{worker}/fd"))
    for number in range(11, 61):
        reload_and_ask(number)
    until(lambda: other.open_connections <= 1)
    until(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= before + 2)


def test_a_broken_file_stops_the_start_with_every_fault(tmp_path: Path, file: Path) -> None:
    file.write_text(file.read_text().replace("kind: chat", "kind: chatty").replace("[normal]", "[]"))
    process = gunicorn(tmp_path, APP_PROVIDERS_FILE=str(file), FIRST_KEY=ENV_KEY)
    assert process.wait(60) == 78
    log = (tmp_path / "server.log").read_text()
    assert f"APP_PROVIDERS_FILE: {file}:2: first.models must be a list" in log
    assert f"APP_PROVIDERS_FILE: {file}:3: other.kind must be one of" in log
    assert ENV_KEY not in log
