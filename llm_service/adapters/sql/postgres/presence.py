"""Tells the processes that use the same database of each other, through a table in it.

Each process says every two seconds that it is alive, by the database's clock: nobody's own clock counts, because those of
machines differ. A process that has not been seen for eight seconds is dead, or stopped for so long that others must go on
without it. Only who has been seen in all that time itself may judge: while the database is away, nobody is seen. When the
database's clock jumps ahead, nobody seems to have been seen; who judges sees that by its own row.
"""

import hmac
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, delete, func, literal_column, or_, select

from ..database import Database
from ..tables import generations, processes
from ..upsert import insert

if TYPE_CHECKING:
    from .database import PostgresDatabase  # who only chooses the database does not load the driver

BEAT_S = 2.0
# Beats that are further apart leave a gap, in which this process may have been the one that was away.
GAP_S = 5.0
DEAD_S = 8.0
# Between two beats, the database's clock may gain so much on this process's: a beat may be slow, or the event loop.
JUMP_S = 2.0
# Rows of dead processes are of no use: a generation whose process has none is an orphan too.
KEPT_S = 3600
# Chosen at random; nobody else may use it in this database.
START_LOCK = 4_018_865_220_173

# Not `now()`, which is the time when the transaction began.
_NOW_MS: ColumnElement[int] = literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)", BigInteger)
_p = processes.c
_INSERT = insert(processes).values(started_ms=_NOW_MS, seen_ms=_NOW_MS)
_BEAT = _INSERT.on_conflict_do_update(index_elements=[_p.process_id], set_={"seen_ms": _INSERT.excluded.seen_ms})
_UNSEEN_MS = select(_NOW_MS - _p.seen_ms).where(_p.process_id == bindparam("me"))
_IS_LATE = _p.seen_ms < _NOW_MS - round(DEAD_S * 1000)
_FORGET = delete(processes).where(_p.seen_ms < _NOW_MS - KEPT_S * 1000)
_LEAVE = delete(processes).where(_p.process_id == bindparam("me"))
_STRANGERS = (
    select(_p.node)
    .where(_p.secret_digest != bindparam("digest"), _p.node != bindparam("node"), ~_IS_LATE)
    .order_by(_p.node)
    .limit(1)
)
_own = processes.alias()
_IS_SEEN_ITSELF = (
    select(_own.c.process_id)
    .where(_own.c.process_id == bindparam("me"), _own.c.seen_ms >= _NOW_MS - round(GAP_S * 1000))
    .exists()
)
# Also what this process ran and has given up.
_ABANDONED = (
    select(generations.c.request_id)
    .outerjoin(processes, _p.process_id == generations.c.process_id)
    .where(
        generations.c.finished_ms.is_(None),
        generations.c.process_id.is_not(None),
        _IS_SEEN_ITSELF,
        or_(_p.process_id.is_(None), _IS_LATE, generations.c.process_id == bindparam("me")),
    )
)
_IS_ABANDONED = _ABANDONED.where(generations.c.request_id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class Process:
    """`process_id` is random. `node`: the server that it belongs to; `pid`: its number there. Both are shown to people."""

    process_id: str
    node: str
    pid: int
    secret_digest: str
    version: str


class OtherSecret(Exception):
    """Another node that is alive has another signing secret. The message is for the operator."""


class PostgresPresence:
    """Satisfies the core's `Presence`. Opened once per process, after the fork. Call `beat` every `BEAT_S` seconds.

    `alone` is never True: who else is alive is known only after some seconds, and the sweep then ends what dead processes
    left.
    """

    alone = False
    sweep_s = BEAT_S

    def __init__(
        self, database: "PostgresDatabase", process: Process, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises `OtherSecret` or `StorageError`."""
        self._database = database
        self._process = process
        self._monotonic = monotonic
        self._mine: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._database.write(self._enter)
        self._seen_at = self._steady_since = monotonic()

    @property
    def process_id(self) -> str:
        return self._process.process_id

    def settle(self) -> None:
        """Nobody waits for it."""

    def beat(self) -> None:
        """Raises `StorageError`. A gap since the beat before delays this process's judgement of others."""
        if self._closed:
            return
        unseen_ms = self._database.write_apart(self._beat)
        now = self._monotonic()
        with self._lock:
            passed_s = now - self._seen_at
            if passed_s > GAP_S or unseen_ms is None or unseen_ms / 1000 - passed_s > JUMP_S:
                self._steady_since = now
            self._seen_at = now

    def begin(self, request_id: str) -> None:
        if self._monotonic() - self._seen_at > GAP_S:
            self.beat()  # else others would end what begins now
        self._mine.add(request_id)

    def end(self, request_id: str) -> None:
        self._mine.discard(request_id)

    def runs(self, request_id: str) -> bool:
        """True also if nobody knows: the generation has no row, or one that names no process."""
        if request_id in self._mine or not self._may_judge:
            return True
        query = {"id": request_id, "me": self.process_id}
        return self._database.read(lambda connection: connection.execute(_IS_ABANDONED, query).first() is None)

    def dead_among(self, request_ids: Collection[str], pause: Callable[[], None]) -> Sequence[str]:
        """One query."""
        if not request_ids or not self._may_judge:
            return []
        query = {"me": self.process_id}
        abandoned = self._database.read(lambda connection: set(connection.execute(_ABANDONED, query).scalars()))
        return [request_id for request_id in request_ids if request_id in abandoned and request_id not in self._mine]

    def close(self) -> None:
        """Leave: what is unfinished then is an orphan. Raises `StorageError`."""
        self._closed = True
        self._database.write(lambda connection: connection.execute(_LEAVE, {"me": self.process_id}))

    @property
    def _may_judge(self) -> bool:
        now = self._monotonic()
        return now - self._seen_at <= GAP_S and now - self._steady_since >= DEAD_S

    def _beat(self, connection: Connection) -> int | None:
        """How long it was not seen before, by the database's clock; None: others have forgotten it."""
        unseen_ms: int | None = connection.execute(_UNSEEN_MS, {"me": self.process_id}).scalar_one_or_none()
        connection.execute(_BEAT, self._row())
        return unseen_ms

    def _enter(self, connection: Connection) -> None:
        # One after the other: of two nodes with different secrets that start together, the second one is refused.
        connection.execute(select(func.pg_advisory_xact_lock(START_LOCK)))
        _refuse_other_secret(connection, self._process.node, self._process.secret_digest)
        connection.execute(_FORGET)
        connection.execute(_BEAT, self._row())

    def _row(self) -> dict[str, object]:
        process = self._process
        return {
            "process_id": process.process_id,
            "node": process.node,
            "pid": process.pid,
            "secret_digest": process.secret_digest,
            "version": process.version,
        }


def check_secret(database: Database, node: str, secret_digest: str) -> None:
    """Raises `OtherSecret` if a living process of another node has another one, or `StorageError`."""
    database.read(lambda connection: _refuse_other_secret(connection, node, secret_digest))


def digest_of_secret(secret: bytes) -> str:
    """Tells whether two nodes have the same secret, and nothing else about it."""
    return hmac.new(secret, b"llm-api-service: the signing secret of a node", sha256).hexdigest()


def _refuse_other_secret(connection: Connection, node: str, secret_digest: str) -> None:
    stranger = connection.execute(_STRANGERS, {"digest": secret_digest, "node": node}).scalar_one_or_none()
    if stranger is not None:
        raise OtherSecret(
            f"SECRET_KEY: the node {stranger}, which uses the same database, has another one. All nodes need the same "
            "SECRET_KEY. To change it, stop all nodes, and wait ten seconds if one of them was killed."
        )
