"""Idempotency keys: each stands for the one request that has it, and so for its answer.

The answer itself is the generation's row, so that nothing is kept twice and deletion is whole.
"""

from sqlalchemy import Connection, and_, delete, insert, select

from llm_service.core.generation.model import IdempotencyKey, KeyHolder, Status

from .tables import generations, idempotency_keys

LIFETIME_MS = 24 * 3600 * 1000
# A key whose generation was never stored: its process died between the two commits.
ORPHAN_MS = 60 * 1000
# A failed request may be made again under its key.
_FREE_AGAIN = {Status.FAILED.value, Status.CANCELLED.value, Status.INTERRUPTED.value}

_keys = idempotency_keys.c
_HOLDERS = select(_keys.request_id, _keys.fingerprint, _keys.created_ms, generations.c.status).select_from(
    idempotency_keys.outerjoin(generations, generations.c.request_id == _keys.request_id)
)


def claim(connection: Connection, owner: str, key: IdempotencyKey, request_id: str, now_ms: int) -> KeyHolder | None:
    """None: the key is this request's now. Else who has it."""
    mine = and_(_keys.owner == owner, _keys.route == key.route, _keys.key == key.key)
    row = connection.execute(_HOLDERS.where(mine)).one_or_none()
    if row is not None:
        age_ms = now_ms - row.created_ms
        orphan = row.status is None and age_ms > ORPHAN_MS
        if age_ms < LIFETIME_MS and row.status not in _FREE_AGAIN and not orphan:
            return KeyHolder(row.request_id, row.fingerprint)
        connection.execute(delete(idempotency_keys).where(mine))
    values = {"owner": owner, "route": key.route, "key": key.key, "fingerprint": key.fingerprint}
    connection.execute(insert(idempotency_keys), {**values, "request_id": request_id, "created_ms": now_ms})
    return None


def release(connection: Connection, owner: str, key: IdempotencyKey, request_id: str) -> None:
    """Nothing happens if another request has it by now."""
    mine = and_(_keys.owner == owner, _keys.route == key.route, _keys.key == key.key, _keys.request_id == request_id)
    connection.execute(delete(idempotency_keys).where(mine))
