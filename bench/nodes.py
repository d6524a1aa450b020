"""What PostgreSQL, Redis and nginx cost: `make bench-nodes`, about three minutes on a quiet machine.

Cache hits and misses per second with one and two workers on SQLite, on PostgreSQL, and on PostgreSQL with Redis; then how
much later one caller at a time gets a hit through nginx, and where Redis is in use. Starts PostgreSQL, Redis and nginx from
their Debian packages, in folders of its own. Medians of the rounds.

    .venv/bin/python -m bench.nodes [--quick] [--rounds N]
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from bench.dialects import Question
from bench.load import Load, closed_loop
from bench.rig import end_on_signals, machine, median
from bench.run import mark
from bench.subjects import OURS, OURS_2, UPSTREAM, Server, Subject
from tests.support.nginx import nginx_before
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer

CLIENTS = 32
# As nginx sends it: the service refuses requests without it where it expects a proxy.
FORWARDED = "X-Forwarded-For: 127.0.0.1"
# nginx closes a client's connection after a thousand requests; the caller here has only one.
KEPT_OPEN = {"server_tokens off;": "server_tokens off; keepalive_requests 1000000;"}
STORES = ("SQLite", "PostgreSQL", "PostgreSQL and Redis")
SUBJECTS = {1: OURS, 2: OURS_2}
Figures = dict[str, list[float]]


@contextmanager
def stores() -> Iterator[tuple[PostgresServer, RedisServer]]:
    """PostgreSQL flushes, as in production."""
    with TemporaryDirectory(prefix="bench-nodes-") as folder:
        postgres, redis = PostgresServer(Path(folder), "fsync = on"), RedisServer(Path(folder))
        try:
            yield postgres.start(), redis.start()
        finally:
            redis.close()
            postgres.close()


def environ_of(store: str, postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    environ = {"APP_PROXY_HOPS": "1", "SECRET_KEY": token_hex(32)}
    if "PostgreSQL" in store:
        environ["DATABASE_URL"] = postgres.new_database()
    if "Redis" in store:
        environ["REDIS_URL"] = redis.url
    return environ


@contextmanager
def running(subject: Subject, upstream: Server, environ: Mapping[str, str]) -> Iterator[Server]:
    with subject.settled(f"{upstream.base}/v1", environ) as server:
        yield replace(server, headers=(FORWARDED,))


def load(server: Server, question: Question, connections: int, seconds: float) -> Load:
    found = asyncio.run(closed_loop(server.port, server.asker(question), connections, seconds=seconds))
    if found.failures:
        sys.exit(f"{server.name}: {len(found.failures)} failed: {found.failures[0]}")
    return found


def throughput(server: Server, name: str, seconds: float, figures: Figures) -> None:
    hit = Question(numbered=False, mark=mark())
    load(server, hit, CLIENTS, 0.7)
    figures[f"{name}: hits/s"].append(load(server, hit, CLIENTS, seconds).per_s)
    load(server, Question(mark=mark()), CLIENTS, 0.7)
    figures[f"{name}: misses/s"].append(load(server, Question(mark=mark()), CLIENTS, seconds).per_s)


def latency(server: Server, name: str, seconds: float, figures: Figures) -> None:
    hit, miss = Question(numbered=False, mark=mark()), Question(mark=mark())
    load(server, hit, 1, 0.5)
    figures[f"{name}: a hit, ms"].append(load(server, hit, 1, seconds).ms(50))
    figures[f"{name}: a miss, ms"].append(load(server, miss, 1, seconds).ms(50))


def one_round(upstream: Server, seconds: float, figures: Figures) -> None:
    for store in STORES:
        for workers, subject in SUBJECTS.items():
            with stores() as (postgres, redis), ExitStack() as stack:
                server = stack.enter_context(running(subject, upstream, environ_of(store, postgres, redis)))
                name = f"{store}, {workers} worker{'s' if workers > 1 else ''}"
                throughput(server, name, seconds, figures)
                if workers == 1:
                    latency(server, f"{store}, one caller", seconds, figures)
                    folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-nginx-")))
                    port = stack.enter_context(nginx_before(folder, server.port, KEPT_OPEN))
                    behind = replace(server, port=port, headers=())
                    latency(behind, f"{store}, one caller through nginx", seconds, figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, and short ones: for trying it out")
    parser.add_argument("--rounds", type=int, help="3 if not given, 1 with --quick")
    given = parser.parse_args()
    end_on_signals()
    print(machine(), flush=True)
    figures: Figures = defaultdict(list)
    rounds = given.rounds or (1 if given.quick else 3)
    with UPSTREAM.running() as upstream:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            one_round(upstream, 0.7 if given.quick else 3.0, figures)
    for name, values in figures.items():
        print(f"{name:56} {median(values):9.2f}   {' '.join(f'{value:.2f}' for value in values)}")


if __name__ == "__main__":
    main()
