"""Workers that share a real Redis, over HTTP, while it comes and goes: every request is answered, at no cost of its own."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.clocks import until
from tests.support.processes import Server, serving
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow
# A bound that only ends a test that would hang.
WAIT_S = 60
CANARY = "canary words"


def call(server: Server, path: str, body: object = None, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.base_url}/api/v1/{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask(server: Server, text: str) -> tuple[int, Any]:
    return call(server, "generate", {"template_id": "basic_chat_v1", "input": text})


def cache_check(server: Server) -> str:
    status, body = call(server, "ready")
    assert status == 200
    return str(body["checks"]["cache"])


def redis_lines(server: Server) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "redis"]


@pytest.fixture(name="redis")
def _redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Not started yet."""
    # How often it looks whether a pause is over.
    redis = RedisServer(tmp_path, "--hz", "500")
    yield redis
    redis.close()


@contextmanager
def asking(server: Server, texts: Callable[[int], str]) -> Iterator[Counter[int]]:
    """Four callers meanwhile. Yields the statuses so far; 0 = it was another's answer."""
    statuses, ended = Counter[int](), threading.Event()

    def work(number: int) -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            status, answer = ask(server, texts(turn * 4 + number))
            statuses[status if texts(turn * 4 + number) in answer.get("output", "") else 0] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def answered(statuses: Counter[int], more: int) -> None:
    """Wait for more answers."""
    wanted = sum(statuses.values()) + more
    until(lambda: sum(statuses.values()) >= wanted)


def test_it_comes_and_goes(tmp_path: Path, redis: RedisServer) -> None:
    """Absent at the start, killed and silent under load: each request is answered."""
    with serving(tmp_path, WEB_CONCURRENCY="2", REDIS_URL=redis.url) as server:
        assert cache_check(server) == "failing" or "refused" in cache_check(server)
        assert call(server, "ready")[1]["status"] == "degraded"
        assert ask(server, "before")[0] == 200
        until(lambda: len(redis_lines(server)) == 2)  # once for each worker

        def is_back() -> bool:
            # Both workers answer some of these.
            return {cache_check(server) for _ in range(8)} == {"ok"}

        redis.start()
        until(is_back)
        with asking(server, lambda number: f"text {number % 40}.") as statuses:
            answered(statuses, 40)
            for _ in range(2):
                redis.kill()
                answered(statuses, 40)
                redis.start()
                until(is_back)
                redis.freeze()
                answered(statuses, 40)
                redis.thaw()
                until(is_back)
        assert set(statuses) == {200}
        told = Counter(line["state"] for line in redis_lines(server))
        # Each time for each worker, or more where this machine was too busy to answer in time.
        assert told["away"] == told["back"] >= 2 + 2 * 4
        assert told["away"] < 60


def test_workers_share_answers_and_deletions(tmp_path: Path, redis: RedisServer) -> None:
    redis.start()
    url = redis.url.replace("redis://", "redis://default:canary-password@")
    with redis.client() as direct:
        direct.config_set("requirepass", "canary-password")
        with serving(tmp_path, WEB_CONCURRENCY="2", REDIS_URL=url, APP_LOG_LEVEL="DEBUG") as server:
            pids = [ask(server, CANARY) for _ in range(12)]
            assert [answer["cached"] for _, answer in pids] == [False] + [True] * 11
            status = call(server, "status")[1]
            assert (status["cache"]["backend"], status["cache"]["entries"]) == ("redis", 1)
            assert CANARY in _texts(direct)
            request_id = pids[0][1]["request_id"]
            assert call(server, f"history/{request_id}", method="DELETE")[0] == 204
            assert CANARY not in _texts(direct)
            assert ask(server, CANARY)[1]["cached"] is False
            assert call(server, "cache", method="DELETE")[1] == {"cleared": 1}
            assert CANARY not in _texts(direct)
            assert ask(server, CANARY)[1]["cached"] is False
            assert call(server, "history", method="DELETE")[0] == 200
            assert CANARY not in _texts(direct)
            shown = json.dumps(status) + json.dumps(call(server, "ready")[1])
        assert "canary-password" not in shown + server.log.read_text()


def test_a_silent_redis_is_not_asked(tmp_path: Path, redis: RedisServer) -> None:
    """Counted in commands: while it is away, requests send none."""
    redis.start()
    with serving(tmp_path, REDIS_URL=redis.url) as server:
        ask(server, "a")
        redis.freeze()
        with asking(server, lambda number: f"text {number}.") as statuses:
            answered(statuses, 200)
        assert set(statuses) == {200}
        redis.thaw()
        with redis.client() as direct:
            stats: Any = direct.info("commandstats")
        # Four callers, and what the first request and the probes asked.
        assert int(stats["cmdstat_get"]["calls"]) <= 2 + 2 * 4
        until(lambda: cache_check(server) == "ok")


def _texts(direct: Any) -> str:
    """All values in Redis."""
    found = []
    for key in direct.scan_iter():
        kind = direct.type(key)
        found.append(str(direct.get(key) if kind == "string" else direct.hgetall(key) if kind == "hash" else ""))
    return json.dumps(found)


def test_a_slow_redis(tmp_path: Path, redis: RedisServer) -> None:
    """Each answer takes 80 ms: after two of them it is as good as away."""
    redis.start()
    ended = threading.Event()

    def slow_down() -> None:
        with redis.client() as direct:
            while not ended.is_set():
                direct.client_pause(80, all=True)

    with serving(tmp_path, REDIS_URL=redis.url) as server:
        assert ask(server, "first")[0] == 200
        thread = threading.Thread(target=slow_down)
        thread.start()
        try:
            time.sleep(0.1)
            assert {ask(server, f"text {number}")[0] for number in range(20)} == {200}
            assert cache_check(server) != "ok"
            assert len(redis_lines(server)) == 1
        finally:
            ended.set()
            thread.join()
        until(lambda: cache_check(server) == "ok")
