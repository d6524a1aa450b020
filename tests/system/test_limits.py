"""Limits with several worker processes on one database: they share one count, and a killed one leaks nothing."""

import json
import multiprocessing
import os
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_service.adapters.sql.limits import SqlLimits
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.limits.rules import Account, Amount, Demand, Reservation
from tests.support.calls import ask, provider
from tests.support.clocks import until
from tests.support.processes import Server, serving
from tests.support.upstream import Upstream


def limit(server: Server, kind: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{server.base_url}/api/v1/limits", timeout=10) as response:
        (found,) = [item for item in json.load(response)["items"] if item["limit"] == kind]
        return dict(found)


def billed_tokens(server: Server) -> int:
    with urllib.request.urlopen(f"{server.base_url}/api/v1/usage", timeout=10) as response:
        total = json.load(response)["total"]
        return int(total["input_tokens"] + total["output_tokens"])


def at_once(threads: int, each: int, work: Callable[[int], tuple[int, dict[str, Any]]]) -> Counter[int]:
    """`threads` clients that make `each` calls one after the other: how often which status came."""
    statuses: Counter[int] = Counter()

    def client(number: int) -> None:
        for turn in range(each):
            status, _ = work(number * each + turn)
            statuses[status] += 1

    clients = [threading.Thread(target=client, args=[number]) for number in range(threads)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return statuses


def test_four_workers_share_one_count_of_generations(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_CONCURRENCY="4", APP_LIMIT_RPM="60") as server:
        began = time.monotonic()
        statuses = at_once(20, 30, lambda number: ask(server, input=f"Question {number % 7}"))
        assert time.monotonic() - began < 60, "this machine is too slow to say anything"
        assert statuses == {200: 60, 429: 540}


def test_two_workers_cannot_overspend(tmp_path: Path, upstream: Upstream) -> None:
    """Two hundred calls at once; each reserves some 250 tokens and is billed a few."""
    budget = 5000
    settings = provider(
        upstream,
        "slow-0.5",
        WEB_CONCURRENCY="2",
        APP_MAX_OUTPUT_TOKENS="100",
        APP_BUDGET_TOKENS_DAY=str(budget),
    )
    with serving(tmp_path, **settings) as server:
        seen: list[int] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                now = limit(server, "tokens-per-day")
                seen.append(int(now["used"]) + int(now["reserved"]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        statuses = at_once(200, 1, lambda number: ask(server, input=f"Question {number}", model="slow-0.5"))
        over.set()
        watcher.join()
        assert set(statuses) == {200, 402}, statuses
        assert max(seen) <= budget
        now = limit(server, "tokens-per-day")
        assert (int(now["used"]), now["reserved"]) == (billed_tokens(server), "0")
        again = at_once(40, 5, lambda number: ask(server, input=f"Another {number}", model="slow-0.5"))
        assert again[200] > 0, "what was not needed was given back"
        assert billed_tokens(server) <= budget


ACCOUNT = Account("key:k1", Allowance(tokens_per_day=2550, generations_per_minute=30))
CALL, GENERATION = Demand(call=True, amount=Amount(50)), Demand(generation=True)


def _take(url: str, first: int, through: "multiprocessing.Queue[tuple[int, int]]") -> None:
    """A process of its own: fifty threads that each reserve for a call, and count a generation."""
    database = Database(url)
    limits, taken = SqlLimits(database), list[Demand]()

    def work(number: int) -> None:
        for asked in (CALL, GENERATION):
            reservation = Reservation(f"id-{number}", [ACCOUNT], asked, 20_000 * DAY_MS, 20_000 * DAY_MS + 1000)
            if limits.reserve(reservation).refused is None:
                taken.append(asked)

    threads = [threading.Thread(target=work, args=[first + number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    through.put((taken.count(CALL), taken.count(GENERATION)))


def test_four_processes_on_one_file_let_through_what_one_would(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    Database(url).close()
    context = multiprocessing.get_context("spawn")
    through = context.Queue()
    processes = [context.Process(target=_take, args=[url, 50 * number, through]) for number in range(4)]
    for process in processes:
        process.start()
    counts = [through.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert [sum(count) for count in zip(*counts, strict=True)] == [51, 30]


def test_slots_are_shared_and_a_killed_worker_leaks_none(tmp_path: Path, upstream: Upstream) -> None:
    settings = provider(
        upstream,
        "fault-hang",
        WEB_CONCURRENCY="2",
        APP_LIMIT_CONCURRENT="2",
        APP_BUDGET_TOKENS_DAY="100000",
        APP_DEADLINE_S="120",
    )
    with serving(tmp_path, **settings) as server:
        hanging = [threading.Thread(target=_hang, args=[server, number]) for number in range(2)]
        for thread in hanging:
            thread.start()
        until(lambda: limit(server, "concurrent-calls")["used"] == "2")
        assert [ask(server, input=f"More {number}")[0] for number in range(4)] == [429] * 4
        held = int(limit(server, "tokens-per-day")["reserved"])
        for pid in [server.process.pid, *server.workers()]:
            os.kill(pid, signal.SIGKILL)
        for thread in hanging:
            thread.join()
        server.process.wait()
    # Nothing else runs on this database, so that nobody waits for their deadline.
    with serving(tmp_path, **settings) as server:
        assert limit(server, "concurrent-calls")["used"] == "0"
        tokens = limit(server, "tokens-per-day")
        assert (int(tokens["used"]), tokens["reserved"]) == (held, "0"), "nobody knows what they cost"
        assert ask(server, input="More")[0] == 200


def _hang(server: Server, number: int) -> None:
    with suppress(OSError):  # the server is killed
        ask(server, input=f"Question {number}", model="fault-hang")
