"""What one request asks of PostgreSQL and Redis, counted in their own traces: the tables of docs/scaling.md, in Markdown.

Starts PostgreSQL (which flushes, and logs every statement), Redis (under `MONITOR`), an upstream, and two nodes of one worker
each. It takes four minutes. Only the times of the first table depend on what else the machine does.

    .venv/bin/python -m bench.operations [--quick]
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.rig import cpu_s, end_on_signals, machine
from bench.traces import DATABASE, TOLD_S, Trace, body_of, log_statements, per_request, slots
from tests.support.cluster import Cluster, cluster
from tests.support.cluster_client import Answer, Client
from tests.support.constants import ROOT
from tests.support.upstream import Upstream

# The upstream's models: sixty tokens at once, and in a second; an answer after a while.
FAST, PACED, LATE = "tokens-60-100000", "tokens-60-60", "slow-14"
TOGETHER, RUNNING = 50, 200
IDLE_S = 10
# By then, PostgreSQL's idle processes have told their counters.
LATEST_S = 11
# A key that was used within half a second is not looked up again.
KEY_FORGOTTEN_S = 0.6
MISS, STREAMED = "a miss of 60 tokens", "the same, streamed"
COLUMNS = (
    "Redis commands", "commands in scripts", "reading transactions", "writing transactions", "durable commits", "flushes",
    "PostgreSQL round trips", "statements", "rows written", "WAL bytes",
)  # fmt: skip
_HEAD = f"| per request | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}"
_READ = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'ix_generations_unfinished'"
_numbers = count()
Request = Callable[[], Answer]
Figures = dict[str, float]


class Kinds:
    """The requests of each kind, as many as are asked for."""

    def __init__(self, nodes: Cluster) -> None:
        self.first, self.second = map(nodes.direct, nodes.nodes)
        self._limited = replace(self.first, key=limited_key(nodes))
        self._random = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = ["".join(self._random.choices(letters, k=6)) for _ in range(20_000)]

    def all(self) -> dict[str, Callable[[int], Sequence[Request]]]:
        first = self.first
        return {
            "a hit": lambda number: [self.hit] * number,
            MISS: lambda number: [_asker(first, FAST) for _ in range(number)],
            STREAMED: lambda number: [_asker(first, FAST, stream=True) for _ in range(number)],
            "the same, with an `Idempotency-Key`": lambda number: [
                _asker(first, FAST, key=f"key-{next(_numbers)}") for _ in range(number)
            ],
            "the same, with a key that has `rpm` and a budget": lambda number: [
                _asker(self._limited, FAST) for _ in range(number)
            ],
            "a miss with 100 words of 20,000, and as many in its answer": lambda number: [
                _asker(first, "normal", " ".join(self._random.choices(self._words, k=100))) for _ in range(number)
            ],
        }

    def joined(self) -> dict[str, tuple[str, Request]]:
        """A leader and one who joins it, and the kind of the leader. The text takes a second."""
        return {
            "a joined request, same process": (MISS, lambda: _both(self.first, self.first, stream=False)),
            "a joined request, another process": (MISS, lambda: _both(self.first, self.second, stream=False)),
            "the same, streamed for a second": (STREAMED, lambda: _both(self.first, self.second, stream=True)),
        }

    def hit(self) -> Answer:
        return self.first.generate(input="a hit", model=FAST)

    def late_hit(self) -> Answer:
        time.sleep(KEY_FORGOTTEN_S)
        return self.hit()

    def late_answers(self, number: int) -> Sequence[Request]:
        """Half of them of each process."""
        return [_asker((self.first, self.second)[each % 2], LATE) for each in range(number)]


def _asker(client: Client, model: str, text: str = "", **more: Any) -> Request:
    asked = text or f"question {next(_numbers)}"
    return lambda: client.generate(input=asked, model=model, **more)


def _both(first: Client, second: Client, *, stream: bool) -> Answer:
    text = f"question {next(_numbers)}"

    def join() -> Answer:
        time.sleep(0.2)
        return second.generate(input=text, model=PACED, stream=stream)

    with ThreadPoolExecutor(1) as thread:
        joined = thread.submit(join)
        answer = first.generate(input=text, model=PACED, stream=stream)
        return joined.result() if answer.is_good else answer


def run(requests: Sequence[Request], together: int) -> None:
    with ThreadPoolExecutor(together) as threads:
        for answer in threads.map(lambda request: request(), requests):
            if not answer.is_good:
                sys.exit(f"failed: {answer}")


class Counting:
    """Prints what it counts in a cluster of two nodes with one worker each."""

    def __init__(self, nodes: Cluster, requests: int) -> None:
        self._nodes, self._requests = nodes, requests
        self._kinds = Kinds(nodes)

    def times(self) -> Iterator[str]:
        """Without traces."""
        pids = [self._nodes.postgres.pid, self._nodes.redis.pid, self._nodes.nodes[0].process.pid]
        head = "PostgreSQL | Redis | service | bytes to Redis | from Redis"
        for together, requests in ((1, self._requests * 3), (TOGETHER, self._requests * 10)):
            yield f"\n| CPU in us, {together} at once | {head} |\n|---|---|---|---|---|---|"
            for name, kind in self._kinds.all().items():
                run(kind(TOGETHER), together)
                many = kind(requests)
                before = [*map(cpu_s, pids), *self._network()]
                run(many, together)
                after = [*map(cpu_s, pids), *self._network()]
                spent = [(now - then) / requests for then, now in zip(before, after, strict=True)]
                yield _row(
                    name, [*(f"{seconds * 1e6:,.0f}" for seconds in spent[:3]), *(f"{size:,.0f}" for size in spent[3:])]
                )

    def idle(self, trace: Trace, title: str, settle_s: float = LATEST_S) -> Iterator[str]:
        """What a process does without requests; afterwards, the trace ignores it."""
        time.sleep(settle_s)
        trace.start()
        time.sleep(IDLE_S)
        kinds: Counter[str] = Counter()
        for transaction in trace.transactions():
            trace.ignored |= body_of(transaction)
            kinds[" / ".join(message[:70] for message in body_of(transaction))] += 1
        kinds.update(each["command"].split()[0] for each in trace.commands() if each["client_type"] != "lua")
        self._idle = trace.counts()
        kinds.update({name.removeprefix("~"): number for name, number in self._idle.items() if name != "~ms"})
        yield f"\n| {title} | per second and process |\n|---|---|"
        for name, number in kinds.most_common():
            yield _row(name, [f"{number / IDLE_S / len(self._nodes.nodes):.2f}"])

    def operations(self, trace: Trace) -> Iterator[str]:
        run([self._kinds.hit], 1)
        late = self._count(trace, [self._kinds.late_hit] * 10, 1)
        trace.ignored |= {
            message for each in trace.transactions() for message in body_of(each) if "FROM keys" in message
        }
        alone: dict[str, Figures] = {}
        yield f"\nOne at a time:\n\n{_HEAD}"
        for name, kind in self._kinds.all().items():
            run(kind(3), 1)
            alone[name] = self._count(trace, kind(self._requests), 1)
            yield _figures(name, alone[name])
        yield _figures("a key that was not used for half a second adds", _more(late, alone["a hit"]))
        for name, (leader, request) in self._kinds.joined().items():
            yield _figures(name, _more(self._count(trace, [request] * (self._requests // 10), 1), alone[leader]))
        yield f"\n{TOGETHER} at once:\n\n{_HEAD}"
        for name, kind in self._kinds.all().items():
            yield _figures(name, self._count(trace, kind(self._requests * 5), TOGETHER))

    def while_running(self, trace: Trace) -> Iterator[str]:
        with ThreadPoolExecutor(RUNNING) as threads:
            asked = [threads.submit(request) for request in self._kinds.late_answers(RUNNING)]
            time.sleep(1)
            before = self._unfinished_read()
            yield from self.idle(trace, f"while {RUNNING} generations run", 0)
            read = self._unfinished_read() - before
            each = read / IDLE_S / RUNNING / len(self._nodes.nodes)
            yield f"\nRows read of running generations: {each:.1f} per second, process and running generation"
            for future in asked:
                assert future.result().is_good

    def slots(self, trace: Trace, folder: Path) -> Iterator[str]:
        trace.start()
        run([self._kinds.joined()["the same, streamed for a second"][1]] * 2, 1)
        yield "\n| slot | keys of two streamed calls, each with one who joins it in another process |\n|---|---|"
        for slot, keys in slots(trace.commands(), folder).items():
            short = {re.sub(r"([0-9a-f]{6})[0-9a-f-]{6,}", r"\1..", key) for key in keys}
            yield _row(str(slot), [" ".join(f"`{key}`" for key in sorted(short))])

    def connections(self) -> str:
        query = (
            f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'llm_service' AND datname = '{DATABASE}'"
        )
        ((held,),) = self._nodes.postgres.run(query)
        with self._nodes.redis.client() as client:
            clients = client.info("clients")["connected_clients"]
        return f"\nConnections of both processes now: {held} to PostgreSQL, {clients - 2} to Redis"

    def _count(self, trace: Trace, requests: Sequence[Request], together: int) -> Figures:
        trace.start()
        run(requests, together)
        time.sleep(TOLD_S)
        return per_request(trace.counts(), self._idle, len(requests))

    def _network(self) -> tuple[int, int]:
        with self._nodes.redis.client() as client:
            stats = client.info("stats")
        return stats["total_net_input_bytes"], stats["total_net_output_bytes"]

    def _unfinished_read(self) -> int:
        ((read,),) = self._nodes.postgres.run(_READ, DATABASE)
        return int(str(read))


def _more(figures: Figures, than: Figures) -> Figures:
    return {column: figures.get(column, 0) - than.get(column, 0) for column in COLUMNS}


def _figures(name: str, figures: Figures) -> str:
    found = ((column, figures.get(column, 0)) for column in COLUMNS)
    return _row(name, [f"{number:,.0f}" if column == "WAL bytes" else f"{number:.1f}" for column, number in found])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def limited_key(nodes: Cluster) -> str:
    """Nobody reaches its limits."""
    limits = ["--rpm", "1000000", "--budget-tokens-day", "1000000000"]
    environ = {**os.environ, **nodes.nodes[0].environ, "APP_PROMPTS_DIR": str(ROOT / "prompts")}
    command = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        "wsgi",
        "keys",
        "create",
        "limited",
        "--scope",
        "generate",
        *limits,
    ]
    return subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    with (
        Upstream() as upstream,
        cluster(folder, upstream, FAST, PACED, LATE, WEB_CONCURRENCY="1", APP_LOG_LEVEL="WARNING") as nodes,
    ):
        yield nodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests: for trying it out")
    requests = 20 if parser.parse_args().quick else 100
    end_on_signals()
    print(machine(), flush=True)
    with TemporaryDirectory(prefix="bench-operations-") as place, started(Path(place)) as nodes:
        counting = Counting(nodes, requests)
        log_statements(nodes, "none")
        _print(counting.times())
        log_statements(nodes, "all")
        trace = Trace(nodes)
        _print(counting.while_running(trace))
        _print(counting.idle(trace, "without requests"))
        _print(counting.operations(trace))
        (other := Path(place) / "slots").mkdir()
        _print(counting.slots(trace, other))
        print(counting.connections())


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
