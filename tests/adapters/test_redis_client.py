"""The Redis client over real servers: what a command may cost while Redis is away, and that nobody gets another's answer.

Longer than other modules: there are many ways to be away.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from llm_service.adapters.redis.client import RedisAway, RedisClient
from llm_service.adapters.redis.url import parse_redis_url
from llm_service.adapters.runtime.clock import SystemClock
from tests.support.clocks import ManualClock, until
from tests.support.constants import ROOT
from tests.support.fakes import RecordingReporter
from tests.support.processes import free_port
from tests.support.redis_caches import RedisCaches
from tests.support.redis_server import RedisServer

MakeServer = Callable[..., RedisServer]
# Bounds that only end a test that would hang.
CALLERS_S = 120


@pytest.fixture(name="make_server")
def _make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Servers that a test may end; not started yet."""
    servers: list[RedisServer] = []

    def make(*arguments: str) -> RedisServer:
        servers.append(RedisServer(tmp_path, *arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(name="caches")
def _caches(redis_server: RedisServer) -> Iterator[RedisCaches]:
    """Only for its clients."""
    with RedisCaches(redis_server.url) as caches:
        yield caches


def _client(url: str) -> tuple[RedisClient, RecordingReporter]:
    reporter = RecordingReporter()
    return RedisClient(url, "tests", SystemClock(), reporter), reporter


def _fails(client: RedisClient, command: Callable[[Any], object] = lambda server: server.get("a")) -> str:
    with pytest.raises(RedisAway) as caught:
        client.run(command)
    return str(caught.value)


def _wait_until_back(client: RedisClient) -> None:
    def is_back() -> bool:
        client.tick()
        return client.available

    until(is_back)


def _gets(server: RedisServer) -> int:
    """How many GET commands it has carried out."""
    with server.client() as client:
        stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_get", {"calls": 0})["calls"])


@pytest.mark.parametrize(
    ("url", "shown", "db"),
    [
        ("redis://localhost", "localhost:6379", 0),
        ("redis://user:pass%40word@cache.example:7000/3", "cache.example:7000", 3),
        ("rediss://:password@[::1]:6380/0?ssl_ca_certs=/ca.pem", "::1:6380", 0),
        ("unix:///run/redis%20here.sock?db=2", "unix:///run/redis here.sock", 2),
    ],
)
def test_addresses(url: str, shown: str, db: int) -> None:
    address = parse_redis_url(url)
    assert (str(address), address.db) == (shown, db)
    assert "word" not in str(address) + repr(address)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:6379", "must begin with redis://"),
        ("http://canary@localhost", "must begin with redis://"),
        ("redis:///0", "must name a host"),
        ("unix://", "must name a socket"),
        ("redis://:canary@localhost:port", "not valid"),
        ("redis://:canary@localhost:66000", "not valid"),
        ("redis://:canary@[::1", "not valid"),
        ("redis://localhost/canary", "number of a database"),
        ("redis://localhost/-1", "number of a database"),
        # It would replace the client's own.
        ("redis://localhost?socket_timeout=5", "has the option 'socket_timeout'"),
        ("redis://localhost?ssl_ca_certs=/ca.pem", "has the option 'ssl_ca_certs'"),
    ],
)
def test_addresses_that_are_not_valid(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_redis_url(url)
    assert "canary" not in str(caught.value)


def test_commands_and_scripts(caches: RedisCaches) -> None:
    client = caches.client()
    assert client.key("tag", "a", "b") == f"llms:{caches.namespace}:{{tag}}:a:b"
    assert client.run(lambda server: server.set(client.key("tag"), "value"))
    assert client.run(lambda server: server.get(client.key("tag"))) == b"value"
    script = client.script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        assert script(["key"], [1]) == [b"key", b"1"]

    def pipeline(server: Any) -> Any:
        with server.pipeline() as commands:
            return commands.get("none").exists("none").execute()

    assert client.run(pipeline) == [None, 0]
    assert client.health_error() is None
    assert caches.reporter.redis == []


def test_a_script_that_the_server_forgot(make_server: MakeServer) -> None:
    server = make_server().start()
    client, _ = _client(server.url)
    script = client.script("return ARGV[1]")
    assert script([], ["a"]) == b"a"
    with server.client() as direct:
        direct.script_flush()
    assert script([], ["b"]) == b"b"
    client.close()


def test_absent_at_first_and_back(make_server: MakeServer) -> None:
    server = make_server()
    client, reporter = _client(server.url)
    backs: list[str] = []
    client.on_back += [lambda: backs.append("first"), lambda: 1 / 0, lambda: backs.append("last")]
    client.tick()
    assert not client.available
    reason = client.health_error() or ""
    assert "Connection refused" in reason
    assert _fails(client) == reason
    server.start()
    _wait_until_back(client)
    assert client.run(lambda direct: direct.get("a")) is None
    assert client.health_error() is None
    assert reporter.redis == [reason, "back"], "each is told once"
    assert backs == ["first", "last"]
    assert [type(bug) for bug in reporter.bugs] == [ZeroDivisionError]
    client.close()
    assert "ending" in _fails(client)


@pytest.mark.slow
def test_a_server_that_stays_away_is_probed_less_and_less() -> None:
    """With growing pauses, up to five seconds."""
    clock, reporter = ManualClock(), RecordingReporter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = RedisClient(f"redis://127.0.0.1:{listener.getsockname()[1]}", "tests", clock, reporter)
        listener.settimeout(0)
        probes = []
        for tick in range(60):
            client.tick()
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                pass
            else:
                probes.append(tick / 2)
            clock.advance(0.5)
        client.close()
    assert probes == [0, 1, 3, 7, 12, 17, 22, 27]
    assert len(reporter.redis) == 1


@pytest.mark.slow
def test_killed_and_back_several_times(make_server: MakeServer) -> None:
    server = make_server().start()
    client, reporter = _client(server.url)
    for turn in range(3):
        assert client.run(lambda direct: direct.get("a")) is None
        server.kill()
        _fails(client)
        _fails(client)
        server.start()
        _wait_until_back(client)
        assert len(reporter.redis) == 2 * (turn + 1)
    client.close()


def test_while_it_is_silent_nobody_asks_it(make_server: MakeServer) -> None:
    """Of many at once, each waits for its own answer only; then no command is sent at all."""
    server = make_server().start()
    client, reporter = _client(server.url)
    client.run(lambda direct: direct.get("a"))
    server.freeze()
    threads = [threading.Thread(target=_fails, args=(client,)) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(500):
        _fails(client)
    assert len(reporter.redis) == 1
    server.thaw()
    sent = _gets(server)
    assert sent <= 1 + 32, "one of each connection, at most"
    _wait_until_back(client)
    assert client.run(lambda direct: direct.get("a")) is None
    assert _gets(server) == sent + 1
    client.close()


@pytest.mark.slow
def test_it_finds_out_without_requests(make_server: MakeServer) -> None:
    """So that the readiness check tells."""
    server = make_server().start()
    client, reporter = _client(server.url)
    client.tick()
    assert client.available
    server.kill()

    def is_away() -> bool:
        client.tick()
        return not client.available

    until(is_away)
    assert len(reporter.redis) == 1
    client.close()


@pytest.mark.slow
def test_slow_answers_count_like_none(make_server: MakeServer) -> None:
    """One slow answer is a hiccup. Several would cost a request more than a timeout."""
    # How often it looks whether a pause is over.
    server = make_server("--hz", "500").start()
    client, _ = _client(server.url)
    with server.client() as direct:

        def get(*pauses_ms: int) -> None:
            for pause_ms in pauses_ms:
                if pause_ms:
                    direct.client_pause(pause_ms, all=True)
                assert client.run(lambda asked: asked.get("a")) == b"value"

        client.run(lambda asked: asked.set("a", "value"))
        _undisturbed(client, partial(get, 65, 0, 65, 0))
        assert client.available
        _undisturbed(client, partial(get, 65, 65))
    assert "longer than 50 ms" in _fails(client)
    _wait_until_back(client)
    client.close()


def _undisturbed(client: RedisClient, scenario: Callable[[], object]) -> None:
    """Repeated if the machine was so busy that an answer took longer than it should."""

    def succeeds() -> bool:
        _wait_until_back(client)
        try:
            scenario()
        except RedisAway:
            return False
        return True

    until(succeeds)


def test_an_answer_that_comes_too_late_is_nobodys(make_server: MakeServer) -> None:
    server = make_server().start()
    client, _ = _client(server.url)
    client.run(lambda asked: asked.mset({"a": "of a", "b": "of b"}))
    with server.client() as direct:
        direct.client_pause(200, all=True)
        assert "Timeout" in _fails(client)
    _wait_until_back(client)
    for _ in range(5):
        assert client.run(lambda asked: asked.get("b")) == b"of b"
    client.close()


def test_a_full_server_still_answers(make_server: MakeServer) -> None:
    server = make_server("--maxmemory", "2mb", "--maxmemory-policy", "noeviction").start()
    client, reporter = _client(server.url)
    client.run(lambda direct: direct.set("a", "value"))

    def fill(direct: redis.Redis) -> None:
        for number in range(100):
            direct.set(f"fill {number}", "x" * 100_000)

    assert "maxmemory" in _fails(client, fill)
    assert "maxmemory" in _fails(client, fill)
    assert client.run(lambda direct: direct.get("a")) == b"value"
    assert client.available
    assert "refuses to write" in (client.health_error() or "")
    assert reporter.redis == [client.health_error()], "told once"
    with server.client() as direct:
        direct.config_set("maxmemory", 0)
    client.tick()
    assert client.health_error() is None
    assert reporter.redis[1:] == ["back"]
    assert reporter.bugs == []
    client.close()


@pytest.mark.slow
def test_a_server_that_only_reads_is_away(make_server: MakeServer) -> None:
    """After a failover: the one that writes has the same address later, so that old connections are of no use."""
    server = make_server().start()
    client, reporter = _client(server.url)
    client.run(lambda direct: direct.set("a", 1))
    with server.client() as direct:
        direct.slaveof("127.0.0.1", 1)
        assert "read only" in _fails(client, lambda asked: asked.set("a", 2))
        time.sleep(0.6)
        client.tick()
        assert not client.available, "a probe writes, too"
        direct.slaveof()
    _wait_until_back(client)
    assert client.run(lambda asked: asked.set("a", 2))
    assert len(reporter.redis) == 2
    client.close()


def test_passwords(make_server: MakeServer) -> None:
    server = make_server().start()
    with server.client() as direct:
        direct.acl_setuser("canary-user", enabled=True, passwords="+canary-word", commands=["+@all"], keys=["*"])
        direct.acl_setuser("default", enabled=False)
    url = server.url.replace("redis://", "redis://canary-user:{}@")
    right, _ = _client(url.format("canary-word"))
    assert right.run(lambda direct: direct.set("a", 1))
    wrong, reporter = _client(url.format("canary-wrong"))
    nobody, _ = _client(server.url)
    for client in (wrong, nobody):
        client.tick()
        assert not client.available
        reason = f"{client.health_error()} {reporter.redis} {client!r} {vars(client)}"
        assert "canary" not in reason
        client.close()
    right.close()


def test_a_command_that_is_refused_fails_alone(caches: RedisCaches) -> None:
    client = caches.client()
    key = client.key("tag")
    client.run(lambda direct: direct.set(key, "text"))
    assert "wrong kind of value" in _fails(client, lambda direct: direct.hget(key, "field"))
    with pytest.raises(RedisAway):
        client.script("return redis.call('nonsense')")([], [])

    def pipeline(direct: redis.Redis) -> object:
        with direct.pipeline() as commands:
            commands.hset(key, "field", "canary")
            return commands.execute()

    assert "canary" not in _fails(client, pipeline), "what callers write is not for logs"
    assert client.run(lambda direct: direct.get(key)) == b"text"
    assert client.health_error() is None
    assert len(caches.reporter.bugs) == 1


def test_a_unix_socket(make_server: MakeServer, tmp_path: Path) -> None:
    make_server("--unixsocket", str(tmp_path / "redis.sock")).start()
    client, _ = _client(f"unix://{tmp_path}/redis.sock?db=3")
    assert client.run(lambda direct: direct.set("a", 1))
    assert client.run(lambda direct: direct.get("a")) == b"1"
    client.close()


def test_tls(make_server: MakeServer, tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    files = ("--tls-ca-cert-file", "ca.pem", "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem")
    server = make_server("--tls-port", str(port), "--tls-auth-clients", "no", *files).start()
    client, _ = _client(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/ca.pem")
    assert client.run(lambda direct: direct.set("a", "x" * 100_000))
    assert client.run(lambda direct: direct.get("a")) == b"x" * 100_000
    server.freeze()
    assert "Timeout" in _fails(client)
    server.thaw()
    strict, _ = _client(f"rediss://localhost:{port}/0")
    assert "certificate verify failed" in _fails(strict)
    for made in (client, strict):
        made.close()


def test_a_background_reader_waits_longer(caches: RedisCaches) -> None:
    client = caches.client()
    reader, stream = client.blocking(), client.key("stream")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(reader.xread({stream: "$"}, block=3000)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive(), "longer than a command may take"
    client.run(lambda direct: direct.xadd(stream, {"text": "new"}))
    thread.join()
    assert b"new" in str(found).encode()
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_nobody_gets_the_answer_of_another(redis_server: RedisServer, make_server: MakeServer, how: str) -> None:
    """Thousands of answers to greenlets that are killed at any time, or while the server stops again and again."""
    server = redis_server if how == "killed" else make_server().start()
    answers = "10000" if how == "killed" else "2500"
    command = [sys.executable, "-m", "tests.support.redis_callers", server.url, answers, how]
    callers = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if how == "frozen":
        while callers.poll() is None:
            time.sleep(0.9)
            server.freeze()
            time.sleep(0.13)
            server.thaw()
    output, _ = callers.communicate(timeout=CALLERS_S)
    counts = dict(line.split() for line in output.splitlines())
    assert counts["mismatches"] == "0", output
    assert int(counts["right"]) >= int(answers), output
    assert int(counts[how]) > 0, output


ANSWERS = {
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an SSH server": b"SSH-2.0-OpenSSH_9.2\r\n",
    "always OK": b"+OK\r\n",
    "always a number": b":1\r\n",
    "no number": b":abc\r\n",
    "nested": b"*1\r\n" * 5000 + b":1\r\n",
}
HELLO = b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n"


@pytest.mark.parametrize("greets", [False, True])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_what_is_no_redis_is_away(answer: bytes, greets: bool) -> None:
    """`greets`: the handshake is right. Neither the start nor a request fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_always, args=(server, answer, greets), daemon=True).start()
        client, reporter = _client(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        client.tick()
        assert not client.available
        assert len(reporter.redis) == 1
        again, _ = _client(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        with suppress(RedisAway):
            again.script("return 1", int)(["a"], [])
        again.close()
        client.close()
    assert reporter.bugs == []


def _answer_always(server: socket.socket, answer: bytes, greets: bool) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while asked := connection.recv(65536):
                    connection.sendall(HELLO if greets and b"HELLO" in asked else 2 * answer)
