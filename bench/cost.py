"""What a hit, a miss, a streamed token and a start cost the service: `make bench-cost`, about a minute.

The cost is the CPU time (user and system) of the server's processes, which depends little on who else uses the machine. It
is told in units: one request of a bare flask-smorest view in the same round. Medians of the rounds. Exits with 1 if
something costs more than `bench/bounds.toml` allows.

    .venv/bin/python -m bench.cost [--quick]
"""

import argparse
import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bounds import BOUNDS
from bench.dialects import Question
from bench.load import closed_loop
from bench.measures.streams import stream_all
from bench.rig import ROOT, end_on_signals, machine, median
from bench.run import failures, mark
from bench.subjects import OURS, SMOREST, UPSTREAM, Server

CLIENTS = 16
STREAMS, TOKENS, PER_S = 40, 100, 20
Costs = dict[str, float]


def cost_us(server: Server, question: Question, count: int, clients: int) -> float:
    """CPU of the server for one request, in microseconds."""
    before_s = server.cpu_s()
    load = asyncio.run(closed_loop(server.port, server.asker(question), clients, count=count))
    if load.failures:
        raise SystemExit(f"{server.name}: {len(load.failures)} of {count} failed: {load.failures[0]}")
    return (server.cpu_s() - before_s) / count * 1e6


def token_us(server: Server) -> float:
    """CPU of the server for one token of a stream, with a share of the request's, in microseconds."""
    before_s, question = server.cpu_s(), Question(tokens=TOKENS, per_s=PER_S, mark=mark())
    replies, _ = stream_all(server, question, STREAMS)
    if failed := failures(server, question, replies):
        raise SystemExit(f"{len(failed)} of {STREAMS} streams failed: {failed[0]}")
    return (server.cpu_s() - before_s) / STREAMS / TOKENS * 1e6


def bare_costs(scale: int) -> Costs:
    with SMOREST.settled() as server:
        question = Question(numbered=False)
        cost_us(server, question, 100, CLIENTS)
        return {
            "start": server.start_s,
            "request": cost_us(server, question, 800 * scale, CLIENTS),
            "request alone": cost_us(server, question, 400 * scale, 1),
        }


def service_costs(upstream: Server, scale: int) -> Costs:
    with service(upstream) as (server, with_key):
        hit = Question(numbered=False, mark=mark())
        cost_us(server, Question(mark=mark()), 20, 8)
        memory_mb = server.pss_mb()
        for caller in (server, with_key):
            cost_us(caller, hit, 50, 8)
        return {
            "start": server.start_s,
            "memory, MB": memory_mb,
            "hit": cost_us(server, hit, 600 * scale, CLIENTS),
            "hit alone": cost_us(server, hit, 250 * scale, 1),
            "hit, key and limit": cost_us(with_key, hit, 400 * scale, CLIENTS),
            "miss of 60 tokens": cost_us(server, Question(mark=mark()), 150 * scale, CLIENTS),
            "token": token_us(server),
        }


@contextmanager
def service(upstream: Server) -> Iterator[tuple[Server, Server]]:
    """The service, asked without a key and with one that has a rate limit."""
    with TemporaryDirectory() as folder:
        environ = {"DATABASE_URL": f"sqlite:///{folder}/bench.db"}
        with OURS.settled(f"{upstream.base}/v1", environ) as server:
            header = f"Authorization: Bearer {make_key(Path(folder) / 'bench.db')}"
            yield server, replace(server, headers=(header,))


def make_key(database: Path) -> str:
    command = [sys.executable, "-m", "flask", "keys", "create", "bench", "--scope", "generate", "--rpm", "1000000"]
    env = {"PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{database}"}
    printed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    return next(word for word in printed.split() if word.startswith("llms_"))


def in_units(bare: Costs, ours: Costs) -> Costs:
    unit = {"start": bare["start"], "hit alone": bare["request alone"], "memory, MB": 1.0}
    return {name: value / unit.get(name, bare["request"]) for name, value in ours.items()}


def show(units: dict[str, list[float]], unit_us: float) -> list[str]:
    """Print the table; return the names of what is over its bound."""
    print(f"1 unit = {unit_us:.0f} us of CPU\n{'':20} {'now':>7} {'bound':>7} {'aim':>7}")
    over = []
    for name, bound in BOUNDS.items():
        now = median(units[name])
        aim = f"{bound.aim:7.2f}" if bound.aim is not None else "      -"
        over += [name] if now > bound.must else []
        print(f"{name:20} {now:7.2f} {bound.must:7.2f} {aim}{'   OVER' if now > bound.must else ''}")
    return over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, with half the requests")
    quick = parser.parse_args().quick
    end_on_signals()
    print(machine())
    units, unit_us = defaultdict[str, list[float]](list), list[float]()
    with UPSTREAM.running() as upstream:
        for _ in range(2 if quick else 3):
            bare = bare_costs(1 if quick else 2)
            unit_us.append(bare["request"])
            for name, value in in_units(bare, service_costs(upstream, 1 if quick else 2)).items():
                units[name].append(value)
    if over := show(units, median(unit_us)):
        sys.exit(f"over the bound: {', '.join(over)}")


if __name__ == "__main__":
    main()
