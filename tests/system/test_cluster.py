"""Two nodes with two workers each, behind nginx, with PostgreSQL and Redis: nothing is paid twice, and nothing is lost.

`make soak` tries the same in its full size.
"""

from collections.abc import Iterator

import pytest

from tests.support import cluster_proofs as proofs
from tests.support.cluster import Cluster, cluster
from tests.support.upstream import Upstream

pytestmark = pytest.mark.slow
MODELS = ("slow-0.5", "echo-10", "echo-40", "tokens-30-10")


@pytest.fixture(name="nodes", scope="module")
def _nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Upstream() as upstream, cluster(tmp_path_factory.mktemp("cluster"), upstream, *MODELS) as nodes:
        yield nodes
        proofs.no_unexpected_errors(nodes)


@pytest.mark.parametrize("turn", [1, 2])
def test_identical_requests_to_all_workers_make_one_call(nodes: Cluster, turn: int) -> None:
    proofs.identical_requests_make_one_call(nodes, 200, "slow-0.5")


def test_a_leader_that_is_killed_costs_one_more_call_at_most(nodes: Cluster) -> None:
    proofs.a_dead_leader_costs_one_more_call(nodes, 20, "echo-10")


def test_four_workers_share_one_count_of_generations(nodes: Cluster) -> None:
    proofs.a_rate_is_exact(nodes, 60, 600)


def test_a_budget_is_never_overspent(nodes: Cluster) -> None:
    proofs.a_budget_is_never_overspent(nodes, 5000, 100, "slow-0.5")


def test_a_reload_under_load_loses_no_request(nodes: Cluster) -> None:
    proofs.reloads_lose_nothing(nodes, 2, 20)


def test_a_rolling_restart_loses_no_request(nodes: Cluster) -> None:
    proofs.a_rolling_restart_loses_nothing(nodes, 10, "tokens-30-10", 20)


def test_killed_workers_lose_nothing_that_was_answered(nodes: Cluster) -> None:
    proofs.nothing_answered_is_lost(nodes, 200, "echo-10", meanwhile=proofs.kills_of_random_workers(nodes, 40))


def test_requests_go_on_while_redis_comes_and_goes(nodes: Cluster) -> None:
    failed = proofs.nothing_answered_is_lost(nodes, 300, "slow-0.5", meanwhile=proofs.losses_of_redis(nodes, 2, 40))
    assert [str(answer) for answer in failed] == []


def test_a_database_that_restarts_loses_nothing_that_was_answered(nodes: Cluster) -> None:
    proofs.nothing_answered_is_lost(nodes, 200, "slow-0.5", meanwhile=proofs.restarts_of_postgres(nodes, 2, 60))
