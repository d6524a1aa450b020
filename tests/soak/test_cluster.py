"""The proofs of tests/system/test_cluster.py in their full size, and what the nodes hold under a steady load.

`SOAK_SECONDS` (180) is how long the steady load lasts; the rest takes about fifteen minutes.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.support import cluster_proofs as proofs
from tests.support.clocks import until
from tests.support.cluster import Cluster, cluster
from tests.support.cluster_client import Answer
from tests.support.upstream import Upstream

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
MODELS = ("slow-0.5", "echo-10", "echo-40", "tokens-100-10")
CALLERS = 8


@pytest.fixture(name="nodes")
def _nodes(tmp_path: Path) -> Iterator[Cluster]:
    with Upstream() as upstream, cluster(tmp_path, upstream, *MODELS, APP_CACHE_TTL_S="10") as nodes:
        yield nodes
        proofs.no_unexpected_errors(nodes)


def test_identical_requests_to_all_workers_make_one_call(nodes: Cluster) -> None:
    for _ in range(20):
        proofs.identical_requests_make_one_call(nodes, 200, "slow-0.5")


def test_a_leader_that_is_killed_costs_one_more_call_at_most(nodes: Cluster) -> None:
    for _ in range(5):
        proofs.a_dead_leader_costs_one_more_call(nodes, 20, "echo-10")
        proofs.wait_until_whole(nodes)


def test_limits_and_budgets_hold(nodes: Cluster) -> None:
    for _ in range(5):
        proofs.a_rate_is_exact(nodes, 60, 600)
        proofs.a_budget_is_never_overspent(nodes, 5000, 200, "slow-0.5")


def test_reloads_under_load_lose_no_request(nodes: Cluster) -> None:
    proofs.reloads_lose_nothing(nodes, 10, 20)


def test_a_rolling_restart_loses_no_request(nodes: Cluster) -> None:
    proofs.a_rolling_restart_loses_nothing(nodes, 50, "tokens-100-10", 20)


def test_killed_workers_lose_nothing_that_was_answered(nodes: Cluster) -> None:
    kills = proofs.kills_of_random_workers(nodes, 30)
    proofs.nothing_answered_is_lost(nodes, 1000, "echo-40", "slow-0.5", meanwhile=kills)


def test_requests_go_on_while_redis_comes_and_goes(nodes: Cluster) -> None:
    losses = proofs.losses_of_redis(nodes, 5, 80)
    assert proofs.nothing_answered_is_lost(nodes, 1000, "slow-0.5", meanwhile=losses) == []


def test_a_database_that_restarts_loses_nothing_that_was_answered(nodes: Cluster) -> None:
    proofs.nothing_answered_is_lost(nodes, 1000, "slow-0.5", meanwhile=proofs.restarts_of_postgres(nodes, 5, 150))


# -- what is held under a steady load


@dataclass(frozen=True)
class Held:
    """By all workers together. Each connection, and each generation, has one greenlet."""

    pss_mib: float
    descriptors: float
    threads: float
    generations: float
    database_connections: float
    redis_connections: float
    redis_keys: float


# How much more the median of the last third may be than that of the second.
MAY_GROW = Held(40, 40, 8, 16, 8, 8, 400)


def held(nodes: Cluster) -> Held:
    folders = [Path(f"/proc/{pid}") for pid in nodes.workers()]
    memory = [line.split() for folder in folders for line in (folder / "smaps_rollup").read_text().splitlines()]
    with nodes.redis.client() as redis:
        clients, keys = len(redis.client_list()), redis.dbsize()
    ((connections,),) = nodes.postgres.run("SELECT count(*) FROM pg_stat_activity WHERE datname = 'llm_service'")
    assert isinstance(connections, int)
    return Held(
        pss_mib=sum(int(line[1]) for line in memory if line[0] == "Pss:") / 1024,
        descriptors=sum(len(list((folder / "fd").iterdir())) for folder in folders),
        threads=sum(len(list((folder / "task").iterdir())) for folder in folders),
        generations=nodes.row_count("status = 'running'"),
        database_connections=connections,
        redis_connections=clients,
        redis_keys=keys,
    )


def test_everything_stays_flat(nodes: Cluster) -> None:
    over, bad, done = threading.Event(), list[str](), list[bool]()
    repeated = [proofs.new_text("again") for _ in range(50)]

    def caller(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            text = repeated[turn % 50] if turn % 2 else proofs.new_text("new " + "word " * 20)
            model = "echo-40" if turn % 4 == 0 else "normal"
            answer: Answer = nodes.client.generate(input=text, model=model, stream=(turn + number) % 3 == 0)
            done.append(answer.is_good)
            if not answer.is_good:
                bad.append(str(answer))

    threads = [threading.Thread(target=caller, args=[number]) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    seen, ends = list[Held](), time.monotonic() + SECONDS
    while time.monotonic() < ends:
        time.sleep(max(0.5, SECONDS / 180))
        seen.append(held(nodes))
    over.set()
    for thread in threads:
        thread.join()
    second, last = _middle(seen[len(seen) // 3 : 2 * len(seen) // 3]), _middle(seen[2 * len(seen) // 3 :])
    course = [round(sample.pss_mib) for sample in seen[:: max(1, len(seen) // 60)]]
    report = f"second third {second}\nlast third {last}\n{len(done)} answers\nPSS in MiB: {course}"
    print(report)
    assert bad == [], report
    grown = {name: value - asdict(second)[name] for name, value in asdict(last).items()}
    assert [name for name, value in grown.items() if value > asdict(MAY_GROW)[name]] == [], report
    until(lambda: held(nodes).generations == 0, 60)


def _middle(seen: Sequence[Held]) -> Held:
    """The median of each."""
    return Held(**{name: median(asdict(sample)[name] for sample in seen) for name in asdict(seen[0])})
