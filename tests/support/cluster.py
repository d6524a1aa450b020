"""Two nodes as an operator runs them: real gunicorn, nginx, PostgreSQL and Redis, all ended by pid whatever happens.

    with cluster(folder, upstream, "slow-1") as nodes:
        nodes.generate({"input": "Hello", "model": "slow-1"})

Each node has a folder of its own (its secret, its spool); they share the database, Redis, the prompts, and `SECRET_KEY`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.calls import provider
from tests.support.cluster_client import Client
from tests.support.nginx import nginx_before
from tests.support.postgres import PostgresServer
from tests.support.processes import Server, free_port, gunicorn, stop, wait_until_ready
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.upstream import Upstream

WORKERS = 2
SECRET = "4b1f0c77aa93de5510c2839b6fe4d01755aa0c9b3e7d4412f08e9d6c3b2a1f00"
# Known to nginx: longer than a node that was away rests.
REST_S = 3.5


class Node:
    """One gunicorn with its workers. Stopped until `start`."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.environ = {**environ, "PORT": str(self.port), "APP_DATA_DIR": str(folder)}
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.server.process

    def workers(self) -> list[int]:
        return self.server.workers()

    def log(self) -> str:
        return self.server.log.read_text()

    def start(self) -> None:
        """Ready when it returns."""
        process = gunicorn(self.folder, **self.environ)
        self._server = Server(f"http://127.0.0.1:{self.port}", process, self.folder / "server.log")
        wait_until_ready(self.server)

    def stop(self) -> int:
        return stop(self.process)

    def reload(self) -> None:
        """As `kill -HUP`: other workers when it returns."""
        before = set(self.workers())
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while before & set(self.workers()) or len(self.workers()) < len(before):
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def end(self) -> None:
        """All its processes, and at once."""
        if self._server is None:
            return
        pids = [self.process.pid, *(self.workers() if self.process.poll() is None else ())]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """`redis_proxy` and `postgres_proxy` stand between the nodes and the servers, where they were asked for."""

    nodes: Sequence[Node]
    client: Client
    upstream: Upstream
    postgres: PostgresServer
    redis: RedisServer
    proxies: dict[str, TcpProxy] = field(default_factory=dict)

    def workers(self) -> list[int]:
        return [pid for node in self.nodes for pid in node.workers()]

    def direct(self, node: Node) -> Client:
        """Not through nginx, but with the header that nginx sends."""
        return Client(node.port, self.client.key, {"X-Forwarded-For": "127.0.0.1"})

    def rows(self, where: str) -> dict[str, str]:
        """The statuses of generations by id."""
        found = self.postgres.run(f"SELECT request_id, status FROM generations WHERE {where}", "llm_service")
        return {str(request_id): str(status) for request_id, status in found}

    def row_count(self, where: str = "true") -> int:
        ((count,),) = self.postgres.run(f"SELECT count(*) FROM generations WHERE {where}", "llm_service")
        assert isinstance(count, int)
        return count


@contextmanager
def cluster(
    folder: Path, upstream: Upstream, *models: str, nodes: int = 2, proxied: Sequence[str] = (), **environ: str
) -> Iterator[Cluster]:
    """Ready when it is yielded. `proxied`: which of `redis`, `postgres` and `upstream` stand behind a TCP proxy."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
        postgres = PostgresServer(folder)
        stack.callback(postgres.close)
        redis = RedisServer(folder)
        stack.callback(redis.close)
        list(threads.map(_call, [postgres.start, redis.start]))
        postgres.run("CREATE DATABASE llm_service")
        targets = {"postgres": postgres.port, "redis": redis.port, "upstream": upstream.port}
        proxies = {name: stack.enter_context(TcpProxy(targets[name])) for name in proxied}
        ports = {name: proxies[name].port if name in proxies else port for name, port in targets.items()}
        key = folder / "first.key"
        settings = {
            **provider(upstream, *models),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{ports['upstream']}/v1",
            "DATABASE_URL": f"postgresql://llm@127.0.0.1:{ports['postgres']}/llm_service",
            "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
            "SECRET_KEY": SECRET,
            "WEB_CONCURRENCY": str(WORKERS),
            "APP_AUTH": "required",
            "APP_FIRST_KEY_FILE": str(key),
            "APP_PROXY_HOPS": "1",
            **environ,
        }
        made = [Node(folder / f"node{number}", settings) for number in range(nodes)]
        for node in made:
            stack.callback(node.end)
        list(threads.map(_call, [node.start for node in made]))
        second = made[1].port if nodes > 1 else None
        port = stack.enter_context(nginx_before(folder, made[0].port, second=second))
        yield Cluster(made, Client(port, key.read_text().strip()), upstream, postgres, redis, proxies)


def _call(what: Callable[[], Any]) -> Any:
    return what()
