"""Many generations that run when the process stops, over a real SQLite file and real greenlets."""

import subprocess
import sys
from pathlib import Path

from tests.support.constants import ROOT

RUNNING = 500

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import sys
from dataclasses import replace
from pathlib import Path
from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.memory.cache import MemoryCache
from llm_service.adapters.memory.single_flight import MemorySingleFlight
from llm_service.adapters.observability.logs import LogReporter
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

folder, running = Path(sys.argv[1]), int(sys.argv[2])
database, clock, reporter = Database(f"sqlite:///{folder}/h.db"), SystemClock(), LogReporter()
store = SqlGenerations(database)
registry = InFlightRegistry(clock, make_spawn(), reporter, store, Presence(folder / "h.db"), abandon_grace_s=None)
recorder = OutcomeRecorder(store, FileSpool(folder / "spool"), clock, reporter)
uses = Collaborators(registry, recorder, MemoryCache(ttl_s=60, max_entries=10, max_bytes=1_000_000), DollarPrices(), clock, reporter, uuid7)
rows = [generation(number) for number in range(running)]
store.transaction(lambda unit: [unit.generations.start(row) for row in rows])
calls = MemorySingleFlight()
for row in rows:
    call = calls.join(None, row.request_id, "")
    call.append(f"Text of {row.request_id}")
    registry.add(InFlightGeneration(row, call, Stopwatch(clock), Traits(detached=True), uses))
commits = []
driver = database._writer._connection.connection.driver_connection
driver.set_trace_callback(lambda statement: commits.append(statement) if "COMMIT" in statement else None)
registry.drain()
ended = [store.get(row.owner, row.request_id) for row in rows]
print({(row.status.value, row.error) for row in ended}, {row.output == f"Text of {row.request_id}" for row in ended})
print(len(registry), len(commits))
database.close()
"""


def test_many_that_run_are_interrupted_in_a_few_commits(tmp_path: Path) -> None:
    """The two seconds at the end of the grace are enough for some commits, not for five hundred."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(RUNNING)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    said, counts = run.stdout.splitlines()[-2:] or ("", run.stderr)
    assert said == "{('interrupted', 'shutting-down')} {True}", run.stdout + run.stderr
    left, commits = map(int, counts.split())
    assert left == 0
    assert commits <= 10
