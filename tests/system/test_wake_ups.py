"""What one process does is noticed by another at once, through a real Redis.

The two services of most tests are whole, over one database, but nothing in them looks from time to time: their tickers do
something only when it is due. So whatever one notices, it was told of, or it looked because it may have missed something.
"""

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from llm_service.adapters.runtime.background import Ticker
from llm_service.bootstrap.build import build_services
from llm_service.bootstrap.settings import Settings
from llm_service.core import errors
from llm_service.core.access.caller import LOCAL, Scope
from llm_service.core.generation.model import CachedAnswer, Delta, GenerateRequest, Status
from llm_service.core.generation.ports import Reporter, Spawn
from llm_service.core.generation.subscriptions import Subscription
from llm_service.core.services import Services
from llm_service.core.usage.pricing import ZERO_USD
from llm_service.core.usage.tokens import Usage
from tests.support.calls import BODY, get, provider
from tests.support.clocks import until
from tests.support.command_line import flask
from tests.support.constants import ROOT
from tests.support.processes import free_port, serving
from tests.support.redis_server import RedisServer, running_redis
from tests.support.upstream import Upstream
from tests.support.world import heard

HOURS = 24 * 3600.0
# It says a few words, and then nothing for longer than any test waits.
MODEL = "fault-hang-after-3"
pytestmark = pytest.mark.slow


class OnlyWhenDue(Ticker):
    """`last.look()` makes all of its work due."""

    last: "OnlyWhenDue"

    def __init__(self, spawn: Spawn, reporter: Reporter) -> None:
        super().__init__(spawn, reporter)
        self.dues: list[Callable[[], None]] = []
        OnlyWhenDue.last = self

    def every(self, seconds: float, function: Callable[[], object]) -> Callable[[], None]:
        self.dues.append(due := super().every(HOURS, function))
        return due

    def look(self) -> None:
        for due in self.dues:
            due()


PROVIDERS = """\
providers:
  test:
    kind: responses
    base_url: {address}
    models: [{models}]
"""


ANSWER = CachedAnswer(
    owner=LOCAL.owner,
    answer_id="a",
    input="i",
    parameters={},
    output="o",
    model=MODEL,
    usage=Usage(1, 1, 2, 0, 0),
    cost_usd=ZERO_USD,
    price_version=None,
)


def listeners(redis: RedisServer) -> int:
    """How many processes listen, of all services on this server."""
    with redis.client() as observer:
        return sum(count for _, count in observer.pubsub_numsub(*observer.pubsub_channels()))


def write_providers(folder: Path, upstream: Upstream, *models: str) -> None:
    text = PROVIDERS.format(address=upstream.base_url, models=", ".join(models))
    (folder / "new.yml").write_text(text)
    (folder / "new.yml").replace(folder / "providers.yml")


class Node:
    """A service, and the work that it would do from time to time."""

    def __init__(self, settings: Settings) -> None:
        self.services: Services = build_services(settings, OnlyWhenDue)
        self.ticker = OnlyWhenDue.last
        self._begun = list[Subscription]()

    def begin(self, request_id: str) -> Subscription:
        """A generation that goes on and on. Returns when it has text."""
        request = GenerateRequest("basic_chat_v1", request_id, model=MODEL)
        self._begun.append(subscription := self.services.generation.begin(request, LOCAL, request_id, detached=True))
        assert isinstance(subscription.next(60), Delta)
        return subscription

    def close(self) -> None:
        for subscription in self._begun:
            subscription.close()
        self.services.close()


@pytest.fixture(name="redis", scope="module")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="settings")
def _settings(tmp_path: Path, redis: RedisServer, upstream: Upstream) -> Settings:
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    write_providers(tmp_path, upstream, "normal", MODEL)
    return Settings.from_env(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/service.db",
            "APP_PROMPTS_DIR": f"{tmp_path}/prompts",
            "APP_PROVIDERS_FILE": f"{tmp_path}/providers.yml",
            "REDIS_URL": redis.url,
        }
    )


@pytest.fixture(name="nodes")
def _nodes(settings: Settings, redis: RedisServer) -> Iterator[tuple[Node, Node]]:
    """Both listen, and have looked at all once."""
    first, second = Node(settings), Node(settings)
    try:
        until(lambda: listeners(redis) == 2)
        yield first, second
    finally:
        first.close()
        second.close()


def test_a_cancellation_ends_the_generation_of_the_other(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    subscription = first.begin("id-1")
    row = second.services.running.cancel(LOCAL.owner, "id-1")
    assert (row.status, bool(row.output)) == (Status.CANCELLED, True), "its process stored the text, nobody else has it"
    with pytest.raises(errors.Cancelled):
        heard(subscription)


def test_a_deleted_history_ends_the_generations_of_the_other(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.begin("id-1")
    assert second.services.history.delete_all(LOCAL.owner) == 1
    until(lambda: not len(first.services.in_flight))


def test_a_revoked_key_ends_the_streams_of_all(nodes: tuple[Node, Node], tmp_path: Path, redis: RedisServer) -> None:
    _, key = nodes[0].services.keyring.make("ci", frozenset(Scope))
    _, other = nodes[0].services.keyring.make("ci", frozenset(Scope))
    watches = [node.services.keyring.watches.watch(key.key_id) for node in nodes]
    others = [node.services.keyring.watches.watch(other.key_id) for node in nodes]
    revoked = flask(tmp_path, "keys", "revoke", key.key_id, REDIS_URL=redis.url)
    assert revoked.returncode == 0, revoked.stderr
    until(lambda: all(watch.ended for watch in watches))
    assert not any(watch.ended for watch in others)


def test_all_know_that_the_cache_was_cleared(nodes: tuple[Node, Node], tmp_path: Path, redis: RedisServer) -> None:
    """What one keeps that does not know it yet, the other does not use: it may be older than the clearing."""
    first, second = (node.services.cache for node in nodes)

    def second_uses_what_first_keeps() -> bool:
        first.put("k" * 64, ANSWER)
        return second.get("k" * 64) == ANSWER

    assert second_uses_what_first_keeps()
    second.clear()
    until(second_uses_what_first_keeps)
    cleared = flask(tmp_path, "cache", "clear", REDIS_URL=redis.url)
    assert cleared.returncode == 0, cleared.stderr
    until(lambda: second.get("k" * 64) is None)
    until(second_uses_what_first_keeps)


def test_one_that_sees_changed_files_tells_the_other(
    nodes: tuple[Node, Node], tmp_path: Path, upstream: Upstream
) -> None:
    first, second = nodes
    prompt = tmp_path / "prompts" / "summarize_v1.prompty"
    (tmp_path / "prompts" / "again_v1.prompty").write_text(prompt.read_text())
    write_providers(tmp_path, upstream, "normal", "slow-1")
    first.ticker.look()
    until(lambda: "again_v1" in second.services.templates.ids)
    until(lambda: "slow-1" in second.services.models.listed)


def test_what_happened_while_redis_was_away_is_noticed_when_it_is_back(settings: Settings, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path).start()
    mine = replace(settings, redis_url=type(settings.redis_url)(redis.url))  # type: ignore[misc]
    first, second = Node(mine), Node(mine)
    try:
        until(lambda: listeners(redis) == 2)
        first.begin("id-1")
        _, key = second.services.keyring.make("ci", frozenset(Scope))
        watch = first.services.keyring.watches.watch(key.key_id)
        redis.kill()
        second.services.keyring.revoke(key.key_id)
        second.services.history.delete_all(LOCAL.owner)
        redis.start()
        until(lambda: watch.ended)
        until(lambda: not len(first.services.in_flight))
    finally:
        first.close()
        second.close()
        redis.close()


def test_commands_work_without_the_server(tmp_path: Path) -> None:
    nobody = f"redis://user:secret-canary@127.0.0.1:{free_port()}/0"
    made = flask(tmp_path, "keys", "create", "ci", "--scope", "history", REDIS_URL=nobody)
    assert made.stdout.startswith("llms_"), made.stderr
    for command in (("keys", "revoke", made.stdout.split("_")[1]), ("cache", "clear")):
        done = flask(tmp_path, *command, REDIS_URL=nobody)
        assert (done.returncode, "secret-canary" in done.stderr) == (0, False), done.stderr


@contextmanager
def overheard(redis: RedisServer) -> Iterator[list[dict[str, str]]]:
    """All messages on the server, in order, as they arrive."""
    messages = list[dict[str, str]]()
    with redis.client() as observer, observer.pubsub() as channels:
        channels.psubscribe(**{"*": lambda message: messages.append(json.loads(message["data"]))})
        thread = channels.run_in_thread(sleep_time=0.1, daemon=True)
        until(lambda: observer.pubsub_numpat() == 1)
        yield messages
        thread.stop()
        thread.join(60)


@pytest.mark.parametrize("worker", ["", "--worker-class gthread --threads 8"], ids=["greenlets", "threads"])
def test_real_servers_tell_each_other_and_end_cleanly(
    worker: str, tmp_path: Path, redis: RedisServer, upstream: Upstream
) -> None:
    environ = provider(upstream, MODEL, REDIS_URL=redis.url, GUNICORN_CMD_ARGS=worker, APP_GRACE_S="1")
    with serving(tmp_path, **environ) as first, serving(tmp_path, **{**environ, "PORT": str(free_port())}) as second:
        until(lambda: listeners(redis) == 2)
        with overheard(redis) as messages:
            data = json.dumps({**BODY, "input": "a text canary", "model": MODEL, "stream": True}).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{first.base_url}/api/v1/generate", data, headers)
            with urllib.request.urlopen(request, timeout=60) as stream:
                request_id = stream.headers["X-Request-ID"]
                stream.readline()
                assert get(second, f"history/{request_id}/cancel", b"")["status"] == "cancelled"
                assert b"event: error" in stream.read()
            made = flask(tmp_path, "keys", "create", "ci", "--scope", "history", REDIS_URL=redis.url)
            assert flask(tmp_path, "keys", "revoke", made.stdout.split("_")[1], REDIS_URL=redis.url).returncode == 0
            assert flask(tmp_path, "cache", "clear", REDIS_URL=redis.url).returncode == 0
            until(lambda: any(message["topic"] == "cache" for message in messages))
        told = [(message["topic"], message["about"]) for message in messages]
        by_id = [(topic, request_id) for topic in ("watch", "cancel", "ended")]
        assert told == [*by_id, ("keys", ""), ("keys", ""), ("cache", "")], "and nothing of texts or keys"
    for server in (first, second):
        assert server.process.returncode == 0
        log = server.log.read_text()
        assert [words for words in ("Traceback", "finalized", "unexpected error") if words in log] == []
