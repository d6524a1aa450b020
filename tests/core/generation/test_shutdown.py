"""Many generations that run when the process stops, over a real SQLite file and real greenlets."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.constants import ROOT

RUNNING = 500
RUNNING_BEHIND_A_LOCK = 1000

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import sys
from pathlib import Path
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.observability.logs import LogReporter, configure_logging
from llm_service.adapters.runtime.background import make_spawn
from llm_service.adapters.runtime.clock import SystemClock, uuid7
from llm_service.adapters.sql.generations import SqlGenerations
from llm_service.adapters.sql.sqlite.database import Database
from llm_service.core.generation.in_flight import Collaborators, InFlightGeneration, Traits
from llm_service.core.generation.outcomes import OutcomeRecorder
from llm_service.adapters.sql.sqlite.presence import Presence
from llm_service.core.generation.registry import InFlightRegistry
from llm_service.core.generation.stopwatch import Stopwatch
from tests.support.builders import generation
from tests.support.fakes import DollarPrices
from tests.support.locks import LockWaits, locked

folder, running, behind_a_lock = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "locked"
configure_logging("INFO")
database, clock, reporter = Database(f"sqlite:///{folder}/h.db"), SystemClock(), LogReporter()
store = SqlGenerations(database)
registry = InFlightRegistry(clock, make_spawn(), reporter, store, Presence(folder / "h.db"), abandon_grace_s=None)
spool = folder / "spool"
recorder = OutcomeRecorder(store, FileSpool(spool), clock, reporter)
uses = Collaborators(registry, recorder, MemoryCache(ttl_s=60, max_entries=10, max_bytes=1_000_000), DollarPrices(), clock, reporter, uuid7)
rows = [generation(number) for number in range(running)]
store.transaction(lambda unit: [unit.generations.start(row) for row in rows])
calls = MemorySingleFlight()
for row in rows:
    call = calls.join(None, row.request_id, "")
    call.append(f"Text of {row.request_id}")
    registry.add(InFlightGeneration(row, call, Stopwatch(clock), Traits(detached=True), uses))
commits, opened = [], []
sys.addaudithook(lambda event, of: opened.append(1) if event == "open" and str(of[0]) == str(spool) else None)
driver = database._writer._committer._connection.connection.driver_connection
if behind_a_lock:
    with locked(folder / "h.db"):
        waits = LockWaits(driver)
        registry.drain()
        waits.close()
    print(waits.waited_s, len(opened), len(registry), spool.read_bytes().count(b"\\n"))
    recorder.replay()
else:
    driver.set_trace_callback(lambda statement: commits.append(statement) if "COMMIT" in statement else None)
    registry.drain()
    print(len(registry), len(commits))
ended = [store.get(row.owner, row.request_id) for row in rows]
print({(row.status.value, row.error) for row in ended}, {row.output == f"Text of {row.request_id}" for row in ended})
database.close()
"""
INTERRUPTED = "{('interrupted', 'shutting-down')} {True}"


def run(folder: Path, running: int, how: str) -> list[float]:
    """Interrupt them all. Returns the numbers that the program tells."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(running), how]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    numbers, said = ended.stdout.splitlines()[-2:] or ("", "")
    assert said == INTERRUPTED, ended.stdout[-500:] + ended.stderr[-500:]
    return [float(number) for number in numbers.split()]


@pytest.mark.slow
def test_many_that_run_are_interrupted_in_a_few_commits(tmp_path: Path) -> None:
    """The two seconds at the end of the grace are enough for some commits, not for five hundred."""
    left, commits = run(tmp_path, RUNNING, "free")
    assert left == 0
    assert commits <= 10


def test_many_that_run_are_spooled_together_if_the_database_is_locked(tmp_path: Path) -> None:
    """Nor are they enough to wait for the lock again and again, or to flush the spool for each."""
    waited_s, written, left, spooled = run(tmp_path, RUNNING_BEHIND_A_LOCK, "locked")
    assert (left, spooled) == (0, RUNNING_BEHIND_A_LOCK)
    assert 0 < waited_s <= 1, "what SQLite was allowed to wait, of all together"
    assert written <= RUNNING_BEHIND_A_LOCK / 50
