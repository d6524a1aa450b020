"""What must hold on several nodes, whatever dies: each function tries it, in the size that a test asks for.

Longer than other modules: the short tests and the soak share all of it.
"""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from tests.support.clocks import until
from tests.support.cluster import REST_S, Cluster, Node
from tests.support.cluster_client import WAIT_S, Answer, Client, at_once
from tests.support.command_line import flask
from tests.support.upstream import asked_of

# What a caller may get while the database is away or a process dies, always with Retry-After (docs/errors.md).
DOCUMENTED = {"storage-unavailable", "storage-busy", "overloaded", "interrupted", "shutting-down"}
CALLERS = 16
# How often a caller asks again before the test fails.
TRIES = 40


def new_text(what: str = "text") -> str:
    return f"{what} {uuid4().hex}"


def calls_with(nodes: Cluster, text: str) -> int:
    """How many calls with this text have reached the provider."""
    return sum(text in asked_of(call["body"]) for call in nodes.upstream.calls)


def identical_requests_make_one_call(nodes: Cluster, requests: int, model: str) -> None:
    """Half of them streams, over all workers. Who is told to come again because the machine is busy does so."""
    text = new_text("identical")

    def ask(*, stream: bool) -> Answer:
        for _ in range(TRIES):
            answer = nodes.client.generate(input=text, model=model, stream=stream)
            if answer.error not in ("storage-busy", "overloaded"):
                break
            time.sleep(float(answer.headers["Retry-After"]))
        return answer

    answers = at_once([partial(ask, stream=number % 2 == 0) for number in range(requests)])
    bad = [str(answer) for answer in answers if not answer.is_good or answer.text != f"Answer to: {text}"]
    assert bad == []
    assert calls_with(nodes, text) == 1
    assert len({answer.request_id for answer in answers}) == requests
    assert nodes.row_count(f"request_id IN ({_quoted(answer.request_id for answer in answers)})") == requests


def a_dead_leader_costs_one_more_call(nodes: Cluster, callers: int, model: str) -> None:
    """Whoever was connected to it asks again, as the documentation says; all others are answered as if nothing was."""
    text = new_text("leader " + "word " * 20)
    ask = partial(nodes.client.generate, input=text, model=model)
    killed = list[int]()

    def kill() -> Answer:
        until(lambda: calls_with(nodes, text))
        (call,) = (call for call in nodes.upstream.calls if text in asked_of(call["body"]))
        until(lambda: nodes.row_count("status = 'running'") >= callers)
        killed.append(owner_of(call["peer"], nodes.workers()))
        os.kill(killed[0], signal.SIGKILL)
        return Answer(200)

    *answers, _ = at_once([*(partial(ask, stream=number % 2 == 0) for number in range(callers)), kill])
    assert killed
    cut = [answer for answer in answers if not answer.is_good]
    assert [str(answer) for answer in cut if answer.status not in (0, 503)] == []
    assert len(cut) < callers, "no other process had any of the callers"
    good = [answer for answer in answers if answer.is_good] + [ask() for _ in cut]
    assert {answer.text for answer in good} == {f"Answer to: {text}"}, [str(answer) for answer in good]
    assert calls_with(nodes, text) <= 2


def owner_of(port: int, pids: Sequence[int]) -> int:
    """The process that has a connection from this local port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}")}
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(entry) in inodes:
                    return pid
    raise AssertionError(f"nobody has a connection from port {port}")


@dataclass
class Progress:
    """Of many callers; `over` is set when all of them have ended."""

    good: dict[str, Answer] = field(default_factory=dict)
    failed: list[Answer] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def wait_for_more(self, count: int) -> bool:
        """Until that many more were answered; False if all have ended."""
        wanted = len(self.good) + count
        while len(self.good) < wanted:
            if self.over.wait(0.02):
                return False
        return True


Trouble = Callable[[Progress], None]


def nothing_answered_is_lost(nodes: Cluster, generations: int, *models: str, meanwhile: Trouble) -> list[Answer]:
    """Many callers ask, half of them for streams, and ask again with the same key when they got no answer.

    Returns the answers that were none.
    """
    progress, numbers, lock = Progress(), iter(range(generations)), threading.Lock()
    good, failed = progress.good, progress.failed

    def ask(number: int) -> None:
        text, key = new_text(f"number {number}"), uuid4().hex
        for _ in range(TRIES):
            answer = nodes.client.generate(
                input=text, model=models[number % len(models)], stream=number % 2 == 0, key=key
            )
            if answer.is_good and answer.text == f"Answer to: {text}":
                good[key] = answer
                return
            failed.append(answer)
            if answer.error == "idempotency-conflict":
                key = uuid4().hex  # its process died before the request began: nobody may use this key for a minute
            time.sleep(0.3)

    def caller() -> Answer:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return Answer(200)
            ask(number)

    trouble = threading.Thread(target=meanwhile, args=[progress])
    trouble.start()
    try:
        at_once([caller] * CALLERS)
    finally:
        progress.over.set()
        trouble.join()
    slowest = max((answer.took_s, answer.request_id) for answer in good.values())
    print(
        f"no answers: {Counter((answer.status, answer.error[:40]) for answer in failed)}; slowest good one: {slowest}"
    )
    assert len(good) == generations, [str(answer) for answer in failed[-5:]]
    undocumented = [str(answer) for answer in failed if not is_documented(answer)]
    assert undocumented == []
    wait_until_whole(nodes)
    ids = [answer.request_id for answer in good.values()]
    assert len(set(ids)) == generations
    until(lambda: not nodes.rows(f"status = 'running' AND request_id IN ({_quoted(ids)})"), 30)
    # Those that were put aside come a little later.
    with suppress(AssertionError):
        until(lambda: len(nodes.rows(f"status = 'completed' AND request_id IN ({_quoted(ids)})")) == generations, 30)
    stored = nodes.rows(f"request_id IN ({_quoted(ids)})")
    wrong = [str(answer) for answer in good.values() if stored.get(answer.request_id) != "completed"]
    assert wrong == [], {request_id: status for request_id, status in stored.items() if status != "completed"}
    for answer in random.Random(1).sample(list(good.values()), min(20, generations)):
        row = nodes.client.get(f"history/{answer.request_id}")
        assert (row["status"], row["output"]) == ("completed", answer.text)
    return failed


def is_documented(answer: Answer) -> bool:
    """503 with a time to wait, a connection that was cut, or a stream that ends with such an error."""
    if answer.status == 0:
        return answer.took_s < WAIT_S  # or it would hang
    if answer.status == 200:  # a stream that had begun
        return answer.error in DOCUMENTED
    # A key whose request died before it began is free after a minute.
    known = answer.status == 503 and answer.error in DOCUMENTED
    return (known or answer.error == "idempotency-conflict") and answer.headers.get("Retry-After") is not None


def kills_of_random_workers(nodes: Cluster, answers_between: int) -> Trouble:
    dice = random.Random(7)

    def run(progress: Progress) -> None:
        while progress.wait_for_more(answers_between):
            with suppress(ProcessLookupError):
                os.kill(dice.choice(nodes.workers()), signal.SIGKILL)

    return run


def restarts_of_postgres(nodes: Cluster, times: int, answers_between: int) -> Trouble:
    """As after a crash."""

    def run(progress: Progress) -> None:
        for _ in range(times):
            assert progress.wait_for_more(answers_between)
            nodes.postgres.restart(signal.SIGQUIT)

    return run


def losses_of_redis(nodes: Cluster, times: int, answers_between: int) -> Trouble:
    def run(progress: Progress) -> None:
        for _ in range(times):
            assert progress.wait_for_more(answers_between)
            nodes.redis.kill()
            assert progress.wait_for_more(answers_between)
            nodes.redis.start()

    return run


def wait_until_whole(nodes: Cluster) -> None:
    """All workers are there, and each node is ready."""
    for node in nodes.nodes:
        until(lambda node=node: len(node.workers()) == 2, 60)  # type: ignore[misc]
        direct = nodes.direct(node)
        until(lambda direct=direct: direct.send("GET", "/api/v1/ready").status == 200, 60)  # type: ignore[misc]


# -- limits


def key_with(nodes: Cluster, name: str, *options: str) -> Client:
    node = nodes.nodes[0]
    made = flask(node.folder, "keys", "create", name, "--scope", "generate,usage", *options, **node.environ)
    assert made.returncode == 0, made.stderr
    return Client(nodes.client.port, made.stdout.strip())


def a_rate_is_exact(nodes: Cluster, per_minute: int, requests: int) -> None:
    caller = key_with(nodes, new_text("rate").replace(" ", "-"), "--rpm", str(per_minute))
    began = time.monotonic()
    each = requests // 20
    statuses = Counter(
        status
        for answer in at_once([partial(_many, caller, each, number * each) for number in range(20)])
        for status in answer.body["statuses"]
    )
    assert time.monotonic() - began < 60, "this machine is too slow to say anything"
    assert statuses == {200: per_minute, 429: requests - per_minute}


def _many(caller: Client, count: int, first: int) -> Answer:
    statuses = [caller.generate(input=f"Question {(first + number) % 7}").status for number in range(count)]
    return Answer(200, {"statuses": statuses})


def a_budget_is_never_overspent(nodes: Cluster, budget: int, calls: int, model: str) -> None:
    """Each call reserves some hundred tokens and is billed a few, so that the budget is full long before it is spent."""
    caller = key_with(nodes, new_text("budget").replace(" ", "-"), "--budget-tokens-day", str(budget))
    seen, over = list[int](), threading.Event()

    def limit() -> dict[str, str]:
        items = caller.get("limits")["items"]
        return next(item for item in items if item["limit"] == "tokens-per-day")

    def watch() -> None:
        while not over.wait(0.1):
            now = limit()
            seen.append(int(now["used"]) + int(now["reserved"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    answers = at_once([partial(caller.generate, input=new_text(), model=model) for _ in range(calls)])
    over.set()
    watcher.join()
    assert Counter(answer.status for answer in answers).keys() == {200, 402}, {str(answer) for answer in answers}
    assert max(seen) <= budget
    total = caller.get("usage")["total"]
    now = limit()
    assert (int(now["used"]), now["reserved"]) == (total["input_tokens"] + total["output_tokens"], "0")


# -- restarts


@contextmanager
def steady_load(nodes: Cluster, per_s: int, model: str) -> Iterator[list[Answer]]:
    """Requests at a rate, half of them asked before; every answer is in the list."""
    answers, over, threads = list[Answer](), threading.Event(), list[threading.Thread]()
    shared = new_text("steady")

    def ask(number: int) -> None:
        text = shared if number % 2 else new_text("steady")
        answers.append(nodes.client.generate(input=text, model=model, stream=number % 4 < 2))

    def run() -> None:
        number = 0
        while not over.wait(1 / per_s):
            threads.append(threading.Thread(target=ask, args=[number]))
            threads[-1].start()
            number += 1

    clock = threading.Thread(target=run)
    clock.start()
    try:
        yield answers
    finally:
        over.set()
        clock.join()
        for thread in threads:
            thread.join()


def reloads_lose_nothing(nodes: Cluster, reloads: int, per_s: int) -> None:
    with steady_load(nodes, per_s, "normal") as answers:
        for number in range(reloads):
            nodes.nodes[number % len(nodes.nodes)].reload()
    assert_all_good(answers, at_least=per_s)


def a_rolling_restart_loses_nothing(nodes: Cluster, streams: int, model: str, per_s: int) -> None:
    """One node after the other is stopped and started, while streams run and others begin."""
    streamed, over = list[Answer](), threading.Event()

    def keep_streaming() -> None:
        while not over.is_set():
            streamed.append(nodes.client.generate(input=new_text("stream"), model=model, stream=True))

    callers = [threading.Thread(target=keep_streaming) for _ in range(streams)]
    with steady_load(nodes, per_s, "normal") as answers:
        for thread in callers:
            thread.start()
        for node in nodes.nodes:
            until(lambda: nodes.row_count("status = 'running'") >= streams // 2)
            restart(node)
        over.set()
        for thread in callers:
            thread.join()
    assert_all_good(answers, at_least=per_s)
    assert_all_good(streamed, at_least=streams)


def restart(node: Node) -> None:
    """As in docs/deployment.md: stop, start, wait until it is ready, and until nginx asks it again."""
    assert node.stop() == 0, node.log()[-2000:]
    node.start()
    time.sleep(REST_S)


def assert_all_good(answers: Sequence[Answer], at_least: int) -> None:
    assert [str(answer) for answer in answers if not answer.is_good] == []
    assert len(answers) >= at_least


def no_unexpected_errors(nodes: Cluster) -> None:
    """No log of a node has what the service did not expect. That an answer could not be stored at once is told there, too."""
    lines = [line for node in nodes.nodes for line in node.log().splitlines() if '"exception"' in line]
    found = [line for line in lines if not re.search(r'core\.errors\.Storage\w+: [^"]*"\}$', line)]
    assert found == [], found[0][-3000:]


def _quoted(ids: Iterator[str] | Sequence[str]) -> str:
    return ", ".join(f"'{request_id}'" for request_id in ids)
