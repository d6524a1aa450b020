"""What PostgreSQL and Redis say that they were asked: the log of statements, `MONITOR`, and their counters."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import redis

from bench.rig import free_port
from tests.support.cluster import Cluster
from tests.support.redis_server import RedisServer

DATABASE = "llm_service"
_PREFIX = "ops|%a|%p|"
_ENTRY = re.compile(r"^ops\|llm_service\|(\d+)\|LOG: +(?:statement|execute [^:]*): (.*)", re.DOTALL)
_ROWS = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
_WAL = "SELECT wal_sync, pg_current_wal_insert_lsn() - '0/0'::pg_lsn FROM pg_stat_wal"
# PostgreSQL's processes tell their counters when they next do something: here, the beats of presence.
TOLD_S = 2.6
Counts = Counter[str]
Transaction = list[str]
"""Its messages from BEGIN to COMMIT or ROLLBACK. Each is a round trip, and some have several statements."""


def log_statements(nodes: Cluster, kind: str) -> None:
    """`kind`: none or all. The server flushes, as in production."""
    for setting in (
        "fsync = on", f"log_line_prefix = '{_PREFIX}'", "log_parameter_max_length = 0", f"log_statement = '{kind}'"
    ):  # fmt: skip
        nodes.postgres.run(f"ALTER SYSTEM SET {setting}")
    nodes.postgres.run("SELECT pg_reload_conf()")
    time.sleep(0.5)


def body_of(transaction: Transaction) -> set[str]:
    return {message for message in transaction if not message.startswith(("BEGIN", "COMMIT", "ROLLBACK"))}


class Trace:
    """What both servers did since `start`. `ignored`: statements of transactions that no request asks for."""

    def __init__(self, nodes: Cluster) -> None:
        self._nodes = nodes
        self._log = nodes.postgres.folder / "server.log"
        self._commands: list[dict[str, Any]] = []
        self.ignored: set[str] = set()
        Thread(target=self._watch, daemon=True).start()
        time.sleep(0.5)

    def start(self) -> None:
        self._began = time.monotonic()
        self._offset, self._command = self._log.stat().st_size, len(self._commands)
        self._counters = self._now()

    def commands(self) -> Sequence[dict[str, Any]]:
        """`client_type` is `lua` for those inside scripts."""
        return self._commands[self._command :]

    def transactions(self) -> Sequence[Transaction]:
        with self._log.open("rb") as log:
            log.seek(self._offset)
            entries = re.split(r"\n(?!\t)", log.read().decode(errors="replace"))
        begun: dict[str, Transaction] = {}
        found = []
        for entry in filter(None, map(_ENTRY.match, entries)):
            process, statement = entry.groups()
            begun.setdefault(process, []).append(" ".join(statement.split()))
            if statement.startswith(("COMMIT", "ROLLBACK")):
                found.append(begun.pop(process))
        return found

    def counts(self) -> Counts:
        """Names with `~` are of the servers as a whole, so what processes do without requests is among them."""
        counts: Counts = Counter()
        for messages in self.transactions():
            if body_of(messages) <= self.ignored:
                continue
            writes = any("READ COMMITTED" in message for message in messages)
            counts["writing transactions" if writes else "reading transactions"] += 1
            counts["durable commits"] += any("synchronous_commit = on" in message for message in messages)
            counts["PostgreSQL round trips"] += len(messages)
            counts["statements"] += sum(message.count("; ") + 1 for message in messages)
        for command in self.commands():
            counts["~commands in scripts" if command["client_type"] == "lua" else "~Redis commands"] += 1
        for name, value in self._now().items():
            counts[f"~{name}"] += value - self._counters[name]
        counts["~ms"] = round((time.monotonic() - self._began) * 1000)
        return counts

    def _now(self) -> dict[str, int]:
        ((flushes, wal),) = self._nodes.postgres.run(_WAL, DATABASE)
        ((rows,),) = self._nodes.postgres.run(_ROWS, DATABASE)
        return {"flushes": int(str(flushes)), "WAL bytes": int(str(wal)), "rows written": int(str(rows))}

    def _watch(self) -> None:
        """Until Redis ends."""
        try:
            client = redis.Redis.from_url(self._nodes.redis.url)
            with client.monitor() as monitor:  # type: ignore[no-untyped-call]
                for command in monitor.listen():
                    self._commands.append(command)
        except (redis.RedisError, OSError, ValueError):
            return


def per_request(counts: Counts, idle: Counts, requests: int) -> dict[str, float]:
    """`idle`: what the processes do without requests."""
    share = counts["~ms"] / idle["~ms"]
    return {
        name.removeprefix("~"): (count - (idle[name] * share if name.startswith("~") else 0)) / requests
        for name, count in counts.items()
    }


def slots(commands: Sequence[dict[str, Any]], folder: Path) -> dict[int, list[str]]:
    """The keys of commands, by their slots, as a Redis with `--cluster-enabled` says."""
    keys = {word for each in commands for word in each["command"].split() if word.startswith("llms:")}
    server = RedisServer(folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port())).start()
    found: dict[int, list[str]] = {}
    try:
        with server.client() as client:
            for key in sorted(keys):
                found.setdefault(int(client.execute_command("CLUSTER KEYSLOT", key)), []).append(key)
    finally:
        server.close()
    return found
