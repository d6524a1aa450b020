"""Cache hits from a process's own memory, from Redis, and while Redis is silent, in turns.

.venv/bin/python -m bench.shared_cache [ROUNDS] [SECONDS]
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bench.dialects import NO_MODEL, Question
from bench.load import Load, closed_loop
from bench.rig import Process, cpu_s, end_on_signals, free_port, machine, median
from bench.subjects import OURS, Server


def main() -> None:
    rounds, seconds = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (3, 3)
    end_on_signals()
    print(machine())
    with redis() as (answering, url), redis() as (silent, silent_url):
        with (
            OURS.settled() as memory,
            OURS.settled(environ={"REDIS_URL": url}) as shared,
            OURS.settled(environ={"REDIS_URL": silent_url}) as alone,
        ):
            os.kill(silent.pid, signal.SIGSTOP)
            for connections in (1, 32):
                measure({"memory": memory, "redis": shared, "silent": alone}, connections, rounds, seconds)
            os.kill(silent.pid, signal.SIGCONT)
        print(f"Redis' own CPU: {cpu_s(answering.pid):.2f} s")


@contextmanager
def redis() -> Iterator[tuple[Process, str]]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with Process(command, dict(os.environ)) as process:
        while not _is_open(port):
            time.sleep(0.01)
        yield process, f"redis://127.0.0.1:{port}/0"


def _is_open(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def measure(servers: dict[str, Server], connections: int, rounds: int, seconds: int) -> None:
    asker = Question(numbered=False).asker(NO_MODEL)
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            before = cpu_s(server.pid)
            load = asyncio.run(closed_loop(server.port, asker, connections, seconds=seconds))
            loads[name].append(load)
            costs[name].append((cpu_s(server.pid) - before) / max(1.0, load.per_s * seconds) * 1e6)
    for name, found in loads.items():
        p50, p99 = (median(load.ms(percent) for load in found) for percent in (50, 99))
        failed = sum(len(load.failures) for load in found)
        cost = median(costs[name])
        print(
            f"c={connections:<3} {name:7} {median(load.per_s for load in found):6.0f} hits/s  {cost:5.0f} us of CPU  "
            f"p50 {p50:6.2f} ms  p99 {p99:7.2f} ms  failed {failed}"
        )


if __name__ == "__main__":
    main()
