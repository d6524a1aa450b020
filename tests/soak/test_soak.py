"""What the process holds stays flat, whatever callers do: strangers, hang-ups, slow readers and writers, idle ones.

`make soak` takes three minutes; `SOAK_SECONDS` changes that. Everything is counted from outside: the worker's memory
(PSS), descriptors, sockets and threads in /proc, and what runs in /api/v1/status. Each connection, and each generation,
has one greenlet, so connections and generations are the greenlets that can grow in number.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support import soak_callers as callers
from tests.support.calls import provider
from tests.support.clocks import until
from tests.support.command_line import flask
from tests.support.processes import serving
from tests.support.soak_callers import Soak, read_response
from tests.support.upstream import Upstream

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
SEEDS = 24
KINDS = {
    callers.hits_and_misses: 3,
    callers.hang_ups: 3,
    callers.slow_readers: 4,
    callers.stopped_readers: 4,
    callers.slow_writers: 6,
    callers.idle_connections: 2,
    callers.strangers: 3,
}


@dataclass(frozen=True)
class Held:
    """What the worker holds at one moment."""

    pss_mib: float
    descriptors: float
    connections: float
    threads: float
    running: float
    upstream_calls: float


# How much more the median of the last third may be than that of the second. Memory: pages that SQLite's connections and the
# allocator still come to use; in three minutes, two kilobytes for each request of a third. The rest: callers that come and
# go by chance.
MAY_GROW = Held(pss_mib=10, descriptors=12, connections=12, threads=2, running=12, upstream_calls=12)


def held(soak: Soak) -> Held:
    (pid,) = soak.server.workers()
    process = Path(f"/proc/{pid}")
    memory = (process / "smaps_rollup").read_text().splitlines()
    targets = [_target(entry) for entry in (process / "fd").iterdir()]
    status = ask_status(soak)
    return Held(
        pss_mib=sum(int(line.split()[1]) for line in memory if line.startswith("Pss:")) / 1024,
        descriptors=len(targets),
        connections=sum(target.startswith("socket:") for target in targets),
        threads=len(list((process / "task").iterdir())),
        running=status["running"],
        upstream_calls=status["upstream"]["in_flight"],
    )


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except FileNotFoundError:
        return ""  # closed meanwhile


def ask_status(soak: Soak) -> Any:
    with soak.connect() as connection:
        connection.sendall(soak.head("GET", "/api/v1/status"))
        status, body = read_response(connection)
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(name="soak")
def _soak(tmp_path: Path, upstream: Upstream) -> Iterator[Soak]:
    """A worker whose cache is full soon, and a history with large texts."""
    made = flask(tmp_path, "keys", "create", "ci", "--scope", "generate,history,usage")
    assert made.returncode == 0, made.stderr
    environ = provider(
        upstream,
        "echo-20",
        "seed",
        APP_AUTH="required",
        APP_CACHE_MAX_MB="1",
        APP_ABANDON_GRACE_S="1",
        APP_INPUT_MAX_CHARS="500000",
        APP_PROXY_HOPS="1",
    )
    with serving(tmp_path, **environ) as server:
        soak = Soak(server, made.stdout.strip())
        with soak.connect() as connection:
            for number in range(SEEDS):
                soak.ask(connection, {"input": f"{number} " * 100_000, "model": "seed"})
                status, body = read_response(connection)
                assert status == 200, body[:300]
        yield soak
        soak.over.set()


def test_everything_stays_flat(soak: Soak) -> None:
    before = held(soak)
    threads = [thread for kind, count in KINDS.items() for thread in soak.start(kind, count)]
    seen = list[Held]()
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        time.sleep(max(0.25, SECONDS / 180))
        seen.append(held(soak))
    soak.over.set()
    for thread in threads:
        thread.join(40)
    second, last = _middle(seen[len(seen) // 3 : 2 * len(seen) // 3]), _middle(seen[2 * len(seen) // 3 :])
    course = [round(sample.pss_mib) for sample in seen[:: max(1, len(seen) // 60)]]
    report = f"before {before}\nsecond third {second}\nlast third {last}\n{dict(soak.done)}\nPSS in MiB: {course}"
    print(report)
    assert soak.wrong == [], report
    grown = {name: value - asdict(second)[name] for name, value in asdict(last).items()}
    assert [name for name, value in grown.items() if value > asdict(MAY_GROW)[name]] == [], report
    missing = {"hits", "misses", "streams left in the middle", "exports read slowly to the end", "strangers"}
    missing |= {"exports that nobody reads", "slow requests answered", "idle connections closed"}
    missing |= {"readers that were disconnected"} if SECONDS >= 90 else set()
    assert missing - set(soak.done) == set(), report

    def all_gone() -> bool:
        now = held(soak)
        return now.running == now.upstream_calls == 0 and now.connections <= before.connections + 8

    until(all_gone, 90)


def _middle(seen: Sequence[Held]) -> Held:
    """The median of each."""
    return Held(**{name: median(asdict(sample)[name] for sample in seen) for name in asdict(seen[0])})
