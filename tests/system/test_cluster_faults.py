"""Eight faults of the network before the provider, Redis and PostgreSQL, each from the start of a request and in its middle.

For each of the 48: which HTTP statuses a plain and a streamed request may end with, what the history then has, that nothing
hangs beyond the deadline, and that all is well within 30 s after the fault. What a stream ends with after it has begun, in
its `error` event, counts as its status.
"""

import itertools
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.clocks import until
from tests.support.cluster import Cluster, cluster
from tests.support.cluster_client import Answer, at_once
from tests.support.cluster_proofs import calls_with, new_text, no_unexpected_errors
from tests.support.tcp_proxy import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    TcpProxy,
    Timeout,
    Toxic,
)
from tests.support.upstream import Upstream

pytestmark = pytest.mark.slow

DEADLINE_S = 3
# Nothing takes longer: a database that is silent is waited for once or twice, for five seconds or so, beyond the deadline.
HANGS_S = DEADLINE_S + 15
RECOVERY_S = 30
MODEL = "echo-20"
WORDS = "word " * 12

# Redis is given 100 ms for a command.
TOXICS: dict[str, Toxic] = {
    "latency": Latency(0.25),
    "down": Down(),
    "bandwidth": Bandwidth(4_000),
    "slow_close": SlowClose(2),
    "timeout": Timeout(),
    "reset_peer": ResetPeer(),
    "slicer": Slicer(64, 0.001),
    "limit_data": LimitData(100),
}
# What a database must bear: a request takes some twenty round trips.
MILD: dict[str, Toxic] = {"latency": Latency(0.02), "bandwidth": Bandwidth(40_000)}
MOMENTS = ("at start", "in flight")
GOOD, ENDS, AWAY = {200}, {502}, {503}
# What may happen; where a fault is not named, the request is answered as if nothing was.
PROVIDER = {"down": ENDS, "timeout": {504}, "reset_peer": ENDS, "limit_data": ENDS}
DATABASE = {"down": AWAY, "timeout": AWAY, "reset_peer": AWAY, "limit_data": AWAY}
EXPECTED = {
    ("upstream", "at start"): PROVIDER,
    ("upstream", "in flight"): PROVIDER,
    ("redis", "at start"): {},
    ("redis", "in flight"): {},
    ("postgres", "at start"): DATABASE,
    ("postgres", "in flight"): DATABASE,
}
CELLS = list(itertools.product(("upstream", "redis", "postgres"), MOMENTS, TOXICS))


@pytest.fixture(name="nodes", scope="module")
def _nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node with one worker; it meets the faults of all three."""
    settings = {"WEB_CONCURRENCY": "1", "APP_DEADLINE_S": str(DEADLINE_S), "APP_IDLE_TIMEOUT_S": "2"}
    proxied = ("upstream", "redis", "postgres")
    folder = tmp_path_factory.mktemp("faults")
    with Upstream() as upstream, cluster(folder, upstream, MODEL, nodes=1, proxied=proxied, **settings) as nodes:
        yield nodes
        no_unexpected_errors(nodes)


@pytest.mark.parametrize(("backend", "moment", "fault"), CELLS)
def test_a_fault_has_a_known_end(nodes: Cluster, backend: str, moment: str, fault: str) -> None:
    proxy, texts = nodes.proxies[backend], [f"{new_text(kind)} {WORDS}".strip() for kind in ("plain", "streamed")]
    expected = EXPECTED[backend, moment].get(fault, GOOD)
    try:
        toxic = MILD.get(fault, TOXICS[fault]) if backend == "postgres" else TOXICS[fault]
        answers = _asked(nodes, texts, proxy, toxic, from_the_start=moment == "at start")
    finally:
        proxy.heal()
    assert [str(answer) for answer in answers if outcome(answer) not in expected] == []
    assert [str(answer) for answer in answers if answer.took_s > HANGS_S] == []
    assert [str(answer) for answer in answers if answer.status == 503 and "Retry-After" not in answer.headers] == []
    until(lambda: _is_well(nodes), RECOVERY_S)
    for answer, text in zip(answers, texts, strict=True):
        _assert_recorded(nodes, answer, text)


def outcome(answer: Answer) -> int:
    """0 if it was cut."""
    return answer.status if answer.status != 200 or answer.is_good else int(answer.body.get("status", 0))


def _asked(
    nodes: Cluster, texts: list[str], proxy: TcpProxy, toxic: Toxic, *, from_the_start: bool
) -> tuple[Answer, Answer]:
    """A plain and a streamed request at once."""

    def in_the_middle() -> Answer:
        until(lambda: all(calls_with(nodes, text) for text in texts))
        proxy.use(toxic)
        return Answer(200)

    if from_the_start:
        proxy.use(toxic)
    client = nodes.direct(nodes.nodes[0])
    ask = partial(client.generate, HANGS_S + 20, model=MODEL)
    plain, streamed, *_ = at_once(
        [
            partial(ask, input=texts[0]),
            partial(ask, input=texts[1], stream=True),
            *([] if from_the_start else [in_the_middle]),
        ]
    )
    return plain, streamed


def _is_well(nodes: Cluster) -> bool:
    """Ready without a complaint, and a new request is answered."""
    client = nodes.direct(nodes.nodes[0])
    ready = client.send("GET", "/api/v1/ready")
    return ready.body.get("status") == "ready" and client.generate(input=new_text()).is_good


def _assert_recorded(nodes: Cluster, answer: Answer, text: str) -> None:
    """An answer is in the history; what was paid has ended there; what got 503 before it was paid is not there at all."""
    client = nodes.direct(nodes.nodes[0])

    def row() -> Answer:
        return client.send("GET", f"/api/v1/history/{answer.request_id}")

    until(lambda: row().body.get("status") != "running", RECOVERY_S)
    found = row()
    if outcome(answer) == 200:
        assert (found.status, found.body["status"], found.body["output"]) == (200, "completed", f"Answer to: {text}")
    elif calls_with(nodes, text):
        assert found.body["status"] in ("failed", "interrupted", "completed"), found
    else:
        assert found.status == 404 or found.body["status"] in ("failed", "interrupted"), found
