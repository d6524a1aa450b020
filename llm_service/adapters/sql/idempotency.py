"""Idempotency keys. Each belongs to one request and its answer.

The answer is the generation's row: nothing is stored twice, and deletion is complete.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, select, update

from llm_service.core.generation.model import FREES_KEY, IdempotencyKey, KeyHolder

from .database import Database
from .tables import generations, idempotency_keys
from .upsert import insert

LIFETIME_MS = 24 * 3600 * 1000
# After this, a key without a generation is free: its process died between the two commits, or a power cut took the second.
ORPHAN_MS = 60 * 1000
_FREE_AGAIN = {status.value for status in FREES_KEY}

_keys = idempotency_keys.c
_INSERT = insert(idempotency_keys).on_conflict_do_nothing().returning(_keys.request_id)
_HOLDERS: Select[Any] = select(_keys.request_id, _keys.fingerprint, _keys.created_ms, generations.c.status).select_from(
    idempotency_keys.outerjoin(generations, generations.c.request_id == _keys.request_id)
)


class SqlIdempotency:
    """Satisfies `IdempotencyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
        mine = _is(owner, key)
        row: dict[str, Any] = {"owner": owner, "route": key.route, "key": key.key, "fingerprint": key.fingerprint}
        row |= {"request_id": request_id, "created_ms": now_ms}

        def work(connection: Connection) -> KeyHolder | None:
            while connection.execute(_INSERT, row).one_or_none() is None:
                held = connection.execute(_HOLDERS.where(mine)).one_or_none()
                if held is None:
                    continue  # it was released meanwhile
                if not _is_free(held, now_ms):
                    return KeyHolder(held.request_id, held.fingerprint)
                # Of several who find it free, one takes it over, and the others find that one.
                taking = update(idempotency_keys).where(mine, _keys.request_id == held.request_id).values(row)
                if connection.execute(taking).rowcount:
                    break
            return None

        return self._database.write(work, short=True)

    def release(self, owner: str, key: IdempotencyKey, request_id: str) -> None:
        # Nothing happens if another request has the key now.
        mine = and_(_is(owner, key), _keys.request_id == request_id)
        self._database.write(lambda connection: connection.execute(delete(idempotency_keys).where(mine)))

    def prune(self, now_ms: int) -> int:
        old = delete(idempotency_keys).where(_keys.created_ms < now_ms - LIFETIME_MS)
        return self._database.write(lambda connection: connection.execute(old).rowcount)


def _is_free(held: Row[Any], now_ms: int) -> bool:
    """Whether another request may take the key from its holder."""
    age_ms = now_ms - held.created_ms
    is_orphan = held.status is None and age_ms > ORPHAN_MS
    return age_ms >= LIFETIME_MS or held.status in _FREE_AGAIN or is_orphan


def _is(owner: str, key: IdempotencyKey) -> ColumnElement[bool]:
    return and_(_keys.owner == owner, _keys.route == key.route, _keys.key == key.key)
