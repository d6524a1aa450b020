"""Keys and real processes: what is made or revoked on the command line is felt by every worker."""

import json
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import flask, run_cold
from tests.support.constants import ROOT
from tests.support.processes import Server, environment, free_port, gunicorn, serving, stop, wait_until_ready

BODY = {"template_id": "basic_chat_v1", "input": "Hello"}


def ask(server: Server, address: str, key: str | None = None, body: Any = None, method: str | None = None) -> int:
    """Each call on a connection of its own, so that the workers take turns."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.base_url + address, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def make_key(folder: Path, *options: str) -> str:
    made = flask(folder, "keys", "create", "ci", "--scope", "generate,history,usage", *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_two_workers_feel_a_revocation_within_a_second(tmp_path: Path) -> None:
    good = make_key(tmp_path)
    key = make_key(tmp_path)
    with serving(tmp_path, APP_AUTH="required", WEB_CONCURRENCY="2") as server:
        assert len(server.workers()) == 2
        assert {ask(server, "/api/v1/status", key) for _ in range(40)} == {200}
        assert ask(server, "/api/v1/status") == 401
        assert ask(server, "/api/v1/generate", key, BODY) == 200
        revoked = flask(tmp_path, "keys", "revoke", key.split("_")[1])
        assert revoked.returncode == 0, revoked.stderr
        time.sleep(1)
        # More than five wrong ones in a minute are told to wait: that is a refusal as well.
        after = Counter(ask(server, "/api/v1/status", key) for _ in range(40))
        assert set(after) == {401, 429}
        assert {ask(server, "/api/v1/status", good) for _ in range(20)} == {200}
        new = make_key(tmp_path)
        assert {ask(server, "/api/v1/history", new) for _ in range(20)} == {200}, "no restart is needed"
    log = server.log.read_text()
    assert '"reason": "revoked"' in log
    for secret in (key, good, new):
        assert secret not in log
    assert flask(tmp_path, "keys", "list").stdout.count("usable") == 2


def test_wrong_keys_are_counted_by_all_workers_together(tmp_path: Path) -> None:
    make_key(tmp_path)
    with serving(tmp_path, APP_AUTH="required", WEB_CONCURRENCY="2") as server:
        statuses = [ask(server, "/api/v1/status", "nonsense") for _ in range(40)]
    assert Counter(statuses) == {401: 5, 429: 35}


def test_a_cache_cleared_on_the_command_line_is_empty_in_every_worker(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="2") as server:
        for _ in range(20):
            assert ask(server, "/api/v1/generate", body=BODY) == 200
        cleared = flask(tmp_path, "cache", "clear")
        assert cleared.returncode == 0, cleared.stderr
        time.sleep(1.5)
        sizes = set()
        for _ in range(20):
            with urllib.request.urlopen(f"{server.base_url}/api/v1/status", timeout=10) as response:
                sizes.add(json.load(response)["cache_size"])
        assert sizes == {0}


COMMAND = "Create one: flask keys create NAME --scope generate,history,usage"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"HOST": "0.0.0.0"}, "HOST: 0.0.0.0 is not a loopback address"),
        ({"HOST": "::"}, "HOST: :: is not a loopback address"),
        ({"APP_AUTH": "required"}, "APP_AUTH: required"),
    ],
)
def test_no_start_where_a_key_is_needed_and_there_is_none(tmp_path: Path, environ: dict[str, str], why: str) -> None:
    process = gunicorn(tmp_path, **environ)
    assert process.wait(60) == 78
    assert f"{why}, and there is no usable API key yet. {COMMAND}" in (tmp_path / "server.log").read_text()


def test_revoked_and_expired_keys_do_not_count(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    flask(tmp_path, "keys", "revoke", key.split("_")[1])
    process = gunicorn(tmp_path, HOST="0.0.0.0")
    assert process.wait(60) == 78


def test_the_development_server_refuses_too(tmp_path: Path) -> None:
    done = run_cold(tmp_path, "run", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("--host 0.0.0.0 is not a loopback address, and there is no usable API key yet.")
    done = run_cold(tmp_path, "run", "--port", "0", APP_AUTH="required")
    assert done.returncode == 78


def test_on_another_address_nobody_is_let_in_without_a_key(tmp_path: Path) -> None:
    """Not even this machine's own clients: where it listens is what counts."""
    key = make_key(tmp_path)
    with serving(tmp_path, HOST="0.0.0.0") as server:
        assert ask(server, "/api/v1/status") == 401
        assert ask(server, "/api/v1/status", key) == 200
        assert ask(server, "/api/v1/health") == 200


def test_an_address_that_was_given_by_hand_ends_the_open_mode(tmp_path: Path) -> None:
    """`--bind` wins over HOST, which the app reads: the worker sees where it listens."""
    make_key(tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(tmp_path), "--bind", f"0.0.0.0:{port}"]
    command += ["-c", str(ROOT / "deploy/gunicorn.conf.py"), "wsgi:app"]
    with (tmp_path / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}", process, tmp_path / "server.log")
    try:
        wait_until_ready(server)
        assert ask(server, "/api/v1/status") == 401
    finally:
        stop(process)


def test_the_signing_secret_is_made_once_for_all_workers(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="2"):
        path = tmp_path / "secret_key"
        first = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(first.strip()) == 64
    with serving(tmp_path) as server:
        assert path.read_text() == first
    assert first.strip() not in server.log.read_text()
    path.write_text("short")
    process = gunicorn(tmp_path)
    assert process.wait(60) == 78
    assert "SECRET_KEY" in (tmp_path / "server.log").read_text()
    assert [path.name for path in tmp_path.glob(".secret_key*")] == []


def test_a_server_starts_closed_with_the_key_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "first_key"
    with serving(tmp_path, HOST="0.0.0.0", APP_FIRST_KEY_FILE=str(file)) as server:
        assert ask(server, "/api/v1/generate", body=BODY) == 401
        assert ask(server, "/api/v1/generate", file.read_text().strip(), body=BODY) == 200
    assert file.read_text().strip() not in server.log.read_text()
