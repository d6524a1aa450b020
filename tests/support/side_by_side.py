"""Several processes with many threads each that work on one database at the same time.

Each runs this file: it reads the name of a scenario and an address, and prints what its threads returned.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from llm_service.core.access.caller import Allowance
from llm_service.core.clock import DAY_MS
from llm_service.core.errors import StorageBusy
from llm_service.core.generation.model import Generation, IdempotencyKey
from llm_service.core.limits.rules import EVERYONE, Account, Amount, Demand, Reservation
from llm_service.core.usage.tokens import Usage
from tests.support.builders import completed, generation
from tests.support.constants import ROOT
from tests.support.stores import Stores

PROCESSES, THREADS = 4, 50
PATIENCE_S = 60
CALLERS = PROCESSES * THREADS
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
EACH = Amount(100, Decimal("0.01"))
CALL = Demand(call=True, amount=EACH)
RATE = Account("key:rate", Allowance(generations_per_minute=60))
SLOTS = Account("key:slots", Allowance(concurrent=10))
TOKENS = Account("key:tokens", Allowance(tokens_per_day=100 * 40 + 99))
EVERY_TOKEN = Account("key:many", Allowance(tokens_per_day=10**9))
DOLLARS = Account(EVERYONE, Allowance(usd_per_day=Decimal("0.5")))
REPORTED = Usage(30, 20, 50, 0, 0)
COST = Decimal("0.005")
KEYS = 10


def numbered(number: int, **more: Any) -> Generation:
    """Its input has a word of its own, as has its output."""
    return generation(number, created_ms=NOON_MS, input=f"question{number}", **more)


def answered(started: Generation) -> Generation:
    known: dict[str, Any] = {"usage": REPORTED, "billed": REPORTED, "cost_usd": COST, "unreported": 0}
    return completed(started, output=f"answer{started.answer_id.removeprefix('id-')}", **known)


def shared(answered_: Generation) -> Generation:
    """The outcome of one that joined the call of another."""
    zero = Usage(0, 0, 0, 0, 0)
    return replace(answered_, attempts=0, billed=zero, cost_usd=Decimal(0), saved_usd=COST)


def call(request_id: str, *accounts: Account, demand: Demand = CALL) -> Reservation:
    return Reservation(request_id, accounts, demand, NOON_MS, NOON_MS + 130_000)


def rate(stores: Stores, number: int) -> int:
    """How many of three generations were admitted."""
    demand = Demand(generation=True)
    results = [stores.limits.reserve(call(f"r-{number}-{turn}", RATE, demand=demand)) for turn in range(3)]
    return sum(result.refused is None for result in results)


def budget(stores: Stores, number: int) -> int:
    """Two calls, which stay unsettled; how many were admitted."""
    admitted = 0
    for number_ in (2 * number, 2 * number + 1):
        started = numbered(number_)
        result = stores.start(started, call(started.request_id, TOKENS, DOLLARS))
        admitted += result is not None and result.refused is None
    return admitted


def slots(stores: Stores, number: int) -> int:
    """The most calls that were seen in progress. Each asks until it has had a slot."""
    most = 0
    for turn in range(100_000):
        started = numbered(1000 * turn + number)
        result = stores.start(started, call(started.request_id, SLOTS))
        assert result is not None
        if result.refused is None:
            most = len(stores.limits.open_ids())
            stores.finish(answered(started))
            break
        time.sleep(0.01 * random.random())
    return most


def key_of(index: int) -> IdempotencyKey:
    return IdempotencyKey("/generate", f"key {index}", "f" * 64)


def idempotency(stores: Stores, number: int) -> list[str]:
    """The holder of each key."""
    holders = []
    for index in range(KEYS):
        holder = stores.idempotency.claim("alice", key_of(index), f"id-{number}", NOON_MS)
        holders.append(f"id-{number}" if holder is None else holder.request_id)
    return holders


def counters(stores: Stores, number: int) -> list[int]:
    from llm_service.adapters.sql.epochs import SqlEpochs
    from llm_service.adapters.sql.failed_logins import SqlFailedLogins

    epochs, logins = SqlEpochs(stores.database), SqlFailedLogins(stores.database)
    return [epochs.advance("cache"), logins.count("192.0.2.1", NOON_MS, 60_000)[1]]


def patiently(work: Callable[[], Any]) -> Any:
    """As the service's own tasks and its callers do while the database is busy."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except StorageBusy:
            if time.monotonic() > until:
                raise
            print("busy", file=sys.stderr)
            time.sleep(0.2 * random.random())


def outcomes(stores: Stores, number: int) -> int:
    """All that happens to a generation at the same time: its outcome, a late bill, its end by others, its deletion.

    Four threads of different processes share a generation, and each has one that joined its call. A generation is
    given up by others or deleted, not both: who was given up, deleted and counted again is counted twice.
    """
    leader, role = number % THREADS, number // THREADS
    is_given_up = leader % 2 == 0
    started = numbered(leader)
    joined = numbered(1000 + number, answer_id=started.answer_id, attempts=0)
    joined = replace(joined, input=started.input)
    finished = answered(started)
    assert patiently(lambda: stores.record_started(joined)) is not None
    if role == 0:
        patiently(lambda: stores.finish(finished))
        late = replace(finished, billed=Usage(60, 40, 100, 0, 0), cost_usd=2 * COST)
        patiently(lambda: stores.amend_billing(finished, late))
    elif is_given_up:
        patiently(lambda: stores.interrupt(started.request_id, now_ms=NOON_MS + 1))
    else:
        patiently(lambda: stores.delete(started.owner, started.request_id))
    row = patiently(lambda: stores.get(joined.owner, joined.request_id))
    assert row is not None
    stored = shared(answered(replace(joined, answer_id=started.answer_id)))
    assert patiently(lambda: stores.finish(replace(stored, answer_id=row.answer_id)))
    return int(role == 3 and patiently(lambda: stores.limits.expire([started.request_id])) > 0)


SCENARIOS: dict[str, Callable[[Stores, int], Any]] = {
    function.__name__: function for function in (rate, budget, slots, idempotency, counters, outcomes)
}


class Crew:
    """Processes that run a scenario together, as often as asked. Half of them run greenlets, as gunicorn's workers do."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._processes = [_process(index) for index in range(processes)]

    def run(self, url: str, scenario: str) -> list[Any]:
        """What each thread returned, in no order. Fails if one of them raised anything."""
        for process in self._processes:
            _say(process, f"{scenario} {url}")
        assert [_hear(process) for process in self._processes] == ["ready"] * len(self._processes)
        for process in self._processes:
            _say(process, "go")
        return [result for process in self._processes for result in _hear(process)]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


def _process(index: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.side_by_side", str(index)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _hear(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout
    line = process.stdout.readline()
    assert line, "the process ended: see its errors"
    return json.loads(line)


def main(index: int) -> None:
    from llm_service.bootstrap.resources import open_database
    from llm_service.bootstrap.settings import Settings

    for line in sys.stdin:
        scenario, url = line.split()
        stores = Stores(open_database(Settings.from_env({"DATABASE_URL": url})))
        print(json.dumps("ready"), flush=True)
        sys.stdin.readline()
        print(json.dumps(_in_threads(SCENARIOS[scenario], stores, index * THREADS)), flush=True)
        stores.close()


def _in_threads(scenario: Callable[[Stores, int], Any], stores: Stores, first: int) -> list[Any]:
    results: list[Any] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            results.append(scenario(stores, number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


if __name__ == "__main__":
    if int(sys.argv[1]) % 2:
        from gevent import monkey

        monkey.patch_all()
    main(int(sys.argv[1]))
