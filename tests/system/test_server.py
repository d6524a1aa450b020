"""The server as a process: it starts as `make run` does, refuses what it must, and loses nothing when it is killed.

Longer than other modules: all of them start the server and kill it.
"""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.calls import ask, get, provider, stream
from tests.support.clocks import until
from tests.support.constants import KEY_CANARY
from tests.support.processes import Server, free_port, gunicorn, gunicorn_with_log, serving, stop, wait_until_ready
from tests.support.upstream import Upstream


def test_it_answers_through_the_sdk_and_logs_no_secret(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, **provider(upstream, "fault-401", APP_LOG_LEVEL="DEBUG")) as server:
        status, answer = ask(server, input="canary-prompt")
        assert (status, answer["output"], answer["model"]) == (200, "Answer to: canary-prompt", "normal")
        assert ask(server, input="canary-prompt")[1]["cached"] is True
        assert ask(server, model="fault-401")[0] == 502
        assert ask(server, input="")[0] == 422
        for pid in [server.process.pid, *server.workers()]:
            assert KEY_CANARY not in Path(f"/proc/{pid}/cmdline").read_text()
        agent = upstream.calls[-1]["headers"]["user-agent"]
        assert agent.startswith("OpenAI/Python")
    log = server.log.read_text()
    assert all(json.loads(line)["time"] for line in log.splitlines())
    assert [secret for secret in (KEY_CANARY, "canary-prompt") if secret in log] == []


def test_workers_of_threads_become_ready_and_answer(tmp_path: Path, upstream: Upstream) -> None:
    """Also what takes longer than the looks whether the caller has left."""
    with serving(
        tmp_path, **provider(upstream, "slow-2.5", GUNICORN_CMD_ARGS="--worker-class gthread --threads 4")
    ) as server:
        assert ask(server, input="threads")[0] == 200
        assert ask(server, input="threads", model="slow-2.5")[0] == 200
        assert [name for name, _ in stream(server, "slow-2.5")][-1] == "done"


def test_a_killed_server_has_lost_nothing_that_was_answered(tmp_path: Path, upstream: Upstream) -> None:
    """SIGKILL for worker and master during 200 generations, plain and streamed, fresh and cached.

    Each answer that arrived whole is in the file.
    """
    answered: dict[str, str] = {}
    outcomes: Counter[str] = Counter()

    def client(server: Server, number: int) -> None:
        for turn in range(25):
            text = f"Question {number}-{turn - turn % 2}"  # every second one is a cache hit
            try:
                if number % 2:
                    status, answer = ask(server, timeout_s=10, input=text, model="slow-0.05")
                else:
                    events = stream(server, "slow-0.05", text=text)
                    status, answer = 200, dict(events)["done"]
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                outcomes["cut"] += 1
                return
            outcomes[str(status)] += 1
            if status == 200:
                answered[answer["request_id"]] = answer["output"]

    with serving(tmp_path, **provider(upstream, "slow-0.05", APP_DEADLINE_S="0.5")) as server:
        threads = [threading.Thread(target=client, args=(server, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 60:
            time.sleep(0.01)
        pids = [*server.workers(), server.process.pid]
        with sqlite3.connect(tmp_path / "service.db") as database:
            until(
                lambda: database.execute("SELECT count(*) FROM generations WHERE status = 'running'").fetchone()[0] > 2
            )
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    assert outcomes["cut"] > 0
    assert set(outcomes) == {"cut", "200"}

    with sqlite3.connect(tmp_path / "service.db") as database:
        kept = dict(
            database.execute(
                "SELECT request_id, output FROM generations JOIN answers USING (answer_id) WHERE status = 'completed'"
            )
        )
        assert {key: kept.get(key) for key in answered} == answered
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        left = database.execute("SELECT count(*) FROM generations WHERE status = 'running'").fetchone()[0]
    database.close()
    assert left > 0, "some were under way"
    with serving(tmp_path, **provider(upstream)) as server:
        assert ask(server)[0] == 200
    with sqlite3.connect(tmp_path / "service.db") as database:
        states = dict(database.execute("SELECT status, count(*) FROM generations GROUP BY status"))
    database.close()
    assert states.get("running") is None
    assert states["interrupted"] == left


def test_a_stopped_server_finishes_what_runs(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, **provider(upstream, "slow-1")) as server:
        got: list[tuple[int, dict[str, Any]]] = []
        thread = threading.Thread(target=lambda: got.append(ask(server, model="slow-1")))
        thread.start()
        until(lambda: get(server, "status")["upstream"]["in_flight"] == 1)
        assert stop(server.process) == 0
        thread.join()
    assert got[0][0] == 200
    assert got[0][1]["status"] == "completed"


def test_a_stopping_server_answers_who_has_connected(tmp_path: Path) -> None:
    """What a proxy has sent it does not send again. Twenty connections wait to be accepted when the workers are stopped."""
    body = json.dumps({"template_id": "basic_chat_v1", "input": "Hello"})
    headers = {"Content-Type": "application/json"}
    with serving(tmp_path, WEB_CONCURRENCY="2") as server, ExitStack() as stack:
        host = server.base_url.removeprefix("http://")
        *waiting, kept = (stack.enter_context(closing(http.client.HTTPConnection(host, timeout=30))) for _ in range(21))
        kept.request("GET", "/api/v1/health")
        kept.getresponse().read()
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        for connection in (*waiting, kept):
            connection.request("POST", "/api/v1/generate", body, headers)
        time.sleep(1.1)  # a worker looks each second whether it should stop, and then closes the port
        server.process.send_signal(signal.SIGTERM)
        until(lambda: all(_waits_for(pid, signal.SIGTERM) for pid in workers))
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        answers = [stack.enter_context(connection.getresponse()) for connection in (*waiting, kept)]
        assert [(answer.status, answer.headers["Connection"]) for answer in answers] == [(200, "close")] * 21
        assert stop(server.process) == 0


def _waits_for(pid: int, number: signal.Signals) -> bool:
    """Whether a stopped process will get the signal when it goes on."""
    (pending,) = re.findall(r"^ShdPnd:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(pending, 16) >> (number - 1) & 1)


def test_what_runs_longer_than_the_grace_is_told_and_kept(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, **provider(upstream, "tokens-200-5", APP_GRACE_S="4")) as server:
        got: list[list[tuple[str, Any]]] = []
        callers = [threading.Thread(target=lambda: got.append(stream(server, "tokens-200-5"))) for _ in range(3)]
        for caller in callers:
            caller.start()
        until(lambda: len(get(server, "history")["items"]) == 3)
        time.sleep(0.6)  # some words come at five a second
        began = time.monotonic()
        assert stop(server.process) == 0
        assert 1.5 < time.monotonic() - began < 20, "not for the forty seconds that they would run"
        for caller in callers:
            caller.join(30)
    assert [events[-1][0] for events in got] == ["error"] * 3
    assert {events[-1][1]["error"] for events in got} == {"shutting-down"}
    with sqlite3.connect(tmp_path / "service.db") as database:
        rows = database.execute(
            "SELECT status, error, output FROM generations JOIN answers USING (answer_id)"
        ).fetchall()
    database.close()
    assert [row[:2] for row in rows] == [("interrupted", "shutting-down")] * 3
    assert all(row[2].startswith("word word ") for row in rows)


def test_the_page_s_generation_is_waited_for_when_the_server_stops(tmp_path: Path, upstream: Upstream) -> None:
    """The page has its panel and joins later: gunicorn knows of nothing that it should wait for."""
    with serving(tmp_path, **provider(upstream, "slow-3")) as server:
        form = urllib.parse.urlencode({"template_id": "basic_chat_v1", "input": "Hello", "model": "slow-3"}).encode()
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html, text/event-stream"}
        request = urllib.request.Request(f"{server.base_url}/generate/answer", form, headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            assert "data-running" in response.read().decode()
        assert stop(server.process) == 0
    with sqlite3.connect(tmp_path / "service.db") as database:
        rows = database.execute("SELECT status, output FROM generations JOIN answers USING (answer_id)").fetchall()
    database.close()
    assert rows == [("completed", "Answer to: Hello")]


def test_who_leaves_is_noticed_also_while_the_model_is_silent(tmp_path: Path, upstream: Upstream) -> None:
    models = ("tokens-200-5", "fault-hang", "fault-hang-after-3")
    with serving(tmp_path, **provider(upstream, *models, APP_ABANDON_GRACE_S="1")) as server:
        before = upstream.open_connections
        for _ in range(5):
            stream(server, "tokens-200-5", leave_after=3)
            stream(server, "fault-hang-after-3", leave_after=2)
        with pytest.raises(TimeoutError):
            ask(server, timeout_s=0.5, model="fault-hang")
        assert get(server, "status")["upstream"]["in_flight"] > 0
        until(lambda: get(server, "status")["upstream"]["in_flight"] == 0)
        until(lambda: upstream.open_connections <= before)
        # The row is written after the slot is free.
        until(lambda: {row["status"] for row in get(server, "history")["items"]} == {"cancelled"})
        until(lambda: get(server, "status")["running"] == 0)


def test_another_process_joins_and_cancels_through_the_row(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, **provider(upstream, "tokens-200-5", "slow-1")) as server:
        threading.Thread(target=lambda: stream(server, "tokens-200-5")).start()
        until(lambda: get(server, "history")["items"])
        request_id = get(server, "history")["items"][0]["request_id"]
        time.sleep(0.5)
        with serving(tmp_path, **provider(upstream, "tokens-200-5", "slow-1", PORT=str(free_port()))) as other:
            request = urllib.request.Request(f"{other.base_url}/api/v1/history/{request_id}/events")
            got: list[bytes] = []

            def join() -> None:
                with urllib.request.urlopen(request, timeout=20) as response:
                    got.append(response.read())

            joiner = threading.Thread(target=join)
            joiner.start()
            row = get(other, f"history/{request_id}/cancel", b"")
            # The words are in it: the process that ran it ended it, well before the other one would have.
            assert (row["status"], row["output"][:10]) == ("cancelled", "word word ")
            joiner.join(30)
            assert b'"error": "cancelled"' in got[0]
            assert b"event: start" in got[0]
        until(lambda: get(server, "status")["upstream"]["in_flight"] == 0)


def test_two_workers_on_a_fresh_database(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="2") as server:
        assert len(server.workers()) == 2
        assert {ask(server, input=str(number))[0] for number in range(20)} == {200}
        with urllib.request.urlopen(f"{server.base_url}/api/v1/history") as response:
            assert len(json.load(response)["items"]) == 20


# gunicorn's, for the tests: longer than a worker imports the app.
WORKER_TIMEOUT_S = 6


@pytest.mark.parametrize(
    ("environ", "code", "words"),
    [
        ({"HOST": "0.0.0.0"}, 78, ["HOST: 0.0.0.0 is not a loopback address"]),
        ({"APP_ENV": "prod"}, 78, ["OPENAI_API_KEY: is not set"]),
        (
            {"PORT": "x", "APP_CACHE_SCOPE": "all", "REDIS_URL": "localhost:6379"},
            78,
            ["PORT: 'x' must be", "APP_CACHE_SCOPE: 'all' must be", "REDIS_URL: must begin with"],
        ),
        (
            {"OPENAI_API_KEY": "x", "HTTPS_PROXY": "socks5://proxy:1080", "PORT": "x"},
            78,
            ["PORT: 'x' must be", "HTTPS_PROXY: must be the URL of an HTTP proxy, such as http://proxy.example:3128"],
        ),
        ({"APP_PROMPTS_DIR": "/nowhere"}, 1, ["/nowhere: the folder of prompt files does not exist"]),
        ({"DATABASE_URL": "sqlite:////proc/x.db"}, 1, ["DATABASE_URL: the SQLite file /proc/x.db cannot be used"]),
    ],
)
def test_what_it_refuses_to_start_with(tmp_path: Path, environ: dict[str, str], code: int, words: list[str]) -> None:
    process = gunicorn(tmp_path, **environ)
    assert process.wait(60) == code
    log = (tmp_path / "server.log").read_text()
    assert [word for word in words if word not in log] == []
    assert "Traceback" not in log


def test_a_file_of_locks_that_cannot_be_used_stops_the_start_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / ".service.db.processes").mkdir()
    process = gunicorn(tmp_path, APP_PROVIDER="echo")
    try:
        assert process.wait(60) == 1
    finally:
        stop(process)
    log = (tmp_path / "server.log").read_text()
    assert f"DATABASE_URL: {tmp_path}/.service.db.processes cannot be used: Is a directory." in log
    assert f"chown USER {tmp_path}/.service.db.processes" in log
    assert "Traceback" not in log


def test_a_worker_that_cannot_use_the_file_of_locks_waits_while_the_others_go_on(tmp_path: Path) -> None:
    """Were it to end, gunicorn would end the service; were it to serve, others would end what it runs."""
    file, away = tmp_path / ".service.db.processes", tmp_path / "away"
    with serving(tmp_path, APP_PROVIDER="echo", WEB_CONCURRENCY="2") as server:
        killed, other = server.workers()
        file.rename(away)
        file.mkdir()
        os.kill(killed, signal.SIGKILL)
        until(lambda: f"waiting: DATABASE_URL: {file} cannot be used" in server.log.read_text())
        (new,) = set(server.workers()) - {other}
        assert [ask(server, input=str(number))[0] for number in range(3)] == [200] * 3
        file.rmdir()
        away.rename(file)
        os.kill(other, signal.SIGSTOP)
        try:
            until(lambda: ask(server, timeout_s=5, input="from the new one")[0] == 200)
        finally:
            os.kill(other, signal.SIGCONT)
        assert sorted(server.workers()) == sorted([other, new])


def test_a_broken_template_stops_the_start_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad_v1.prompty").write_text(
        "---\nname: Bad\ninputs:\n  - name: input\n    kind: string\n    required: true\n---\nuser:\n{{ nope }}\n"
    )
    process = gunicorn(tmp_path, APP_PROMPTS_DIR=str(tmp_path))
    assert process.wait(60) == 1
    assert f"{tmp_path}/bad_v1.prompty:9: nope is used here" in (tmp_path / "server.log").read_text()


def test_another_address_by_hand_is_refused_too(tmp_path: Path) -> None:
    process = gunicorn(tmp_path, GUNICORN_CMD_ARGS="--bind 0.0.0.0:0")
    assert process.wait(60) == 78


def test_several_workers_fail_with_the_code_of_the_one_check(tmp_path: Path) -> None:
    process = gunicorn(tmp_path, APP_PROMPTS_DIR="/nowhere", WEB_CONCURRENCY="3")
    assert process.wait(60) == 1
    log = (tmp_path / "server.log").read_text()
    assert log.count("/nowhere: the folder of prompt files does not exist") == 1
    assert "Traceback" not in log


@pytest.fixture(name="waiting")
def _waiting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Server, IO[str]]]:
    """A server whose start check waits for the migration lock, which is released when the file is closed.

    The parameter: options of gunicorn.
    """
    port, lock = str(free_port()), tmp_path / ".service.db.migrate"
    options = getattr(request, "param", "")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = gunicorn(tmp_path, PORT=port, WEB_CONCURRENCY="2", GUNICORN_CMD_ARGS=options)
        server = Server(f"http://127.0.0.1:{port}", process, tmp_path / "server.log")
        try:
            until(lambda: "Booting worker" in server.log.read_text())
            # Time to import the app: what follows must not succeed only because a worker was too early.
            time.sleep(2)
            yield server, held
        finally:
            stop(server.process)


def test_workers_serve_nothing_before_the_check_has_passed(waiting: tuple[Server, IO[str]]) -> None:
    server, held = waiting
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"{server.base_url}/api/v1/health", timeout=1)
    assert not (server.log.parent / "service.db").exists()
    held.close()
    wait_until_ready(server)


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [f"--timeout {WORKER_TIMEOUT_S}"], indirect=True)
@pytest.mark.parametrize("then", ["passes", "is stopped"])
def test_a_check_may_take_longer_than_the_timeout_of_the_workers(waiting: tuple[Server, IO[str]], then: str) -> None:
    """As a migration of a large database does."""
    server, held = waiting
    workers = server.workers()
    time.sleep(2 * WORKER_TIMEOUT_S)
    assert server.workers() == workers, "the check, and the same two that wait for it"
    if then == "passes":
        held.close()
        wait_until_ready(server)
        assert {ask(server, input=str(number))[0] for number in range(4)} == {200}
        assert server.workers() == workers[1:]
    else:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
    log = server.log.read_text()
    assert [words for words in ("WORKER TIMEOUT", "Traceback") if words in log] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_all", [False, True])
def test_a_server_that_waits_for_its_check_stops_at_once(
    waiting: tuple[Server, IO[str]], number: signal.Signals, to_all: bool
) -> None:
    """As systemd and Ctrl-C do: to the whole group."""
    server, _ = waiting
    check = _check_of(server)
    for pid in (server.process.pid, *(server.workers() if to_all else ())):
        os.kill(pid, number)
    assert server.process.wait(10) == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "start checks" not in log
    until(lambda: not Path(f"/proc/{check}").exists())


def test_a_check_that_is_killed_is_told(waiting: tuple[Server, IO[str]]) -> None:
    server, _ = waiting
    os.kill(_check_of(server), signal.SIGKILL)
    assert server.process.wait(10) == 1
    assert "The start checks were killed" in server.log.read_text()


def _check_of(server: Server) -> int:
    """The first child of the master."""
    return min(server.workers())


def test_a_reload_replaces_the_workers(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="2") as server:
        before = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(server.workers()) == 2 and not before & set(server.workers()))
        wait_until_ready(server)
        assert ask(server, input="after")[0] == 200


def test_a_wrong_setting_is_told_first_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = gunicorn(tmp_path, APP_ENV="prod", PORT=str(taken.getsockname()[1]))
        assert process.wait(60) == 78


def test_a_log_that_nobody_reads_breaks_nothing(tmp_path: Path, upstream: Upstream) -> None:
    reading, writing = os.pipe()
    port = str(free_port())
    process = gunicorn_with_log(tmp_path, writing, PORT=port, **provider(upstream, "fault-eof-after-3"))
    server = Server(f"http://127.0.0.1:{port}", process, tmp_path / "server.log")
    try:
        server.log.touch()
        wait_until_ready(server)
        os.close(writing)
        os.close(reading)
        assert ask(server, input="answered")[0] == 200
        assert ask(server, input="fails", model="fault-eof-after-3")[0] == 502
        assert [row["status"] for row in get(server, "history")["items"]] == ["failed", "completed"]
    finally:
        stop(process)
