"""API keys and their sessions. Values from callers are always bound parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, or_, select, update

from llm_service.core.access.caller import Allowance, Scope
from llm_service.core.access.keys import Key
from llm_service.core.access.ports import StoredSession

from .database import Database
from .money import from_pico, to_pico
from .tables import keys, sessions
from .upsert import insert

_ADD = insert(keys).on_conflict_do_nothing()
_DIGEST = select(keys.c.digest).where(keys.c.key_id == bindparam("id"))
_BY_ID = select(keys).where(keys.c.key_id == bindparam("id"))
_SESSION = (
    select(sessions.c.session_id, sessions.c.created_ms.label("began_ms"), sessions.c.seen_ms, keys)
    .join(keys, keys.c.key_id == sessions.c.key_id)
    .where(sessions.c.session_id == bindparam("id"))
)
_USED = (
    update(keys)
    .where(keys.c.key_id == bindparam("id"), func.coalesce(keys.c.last_used_ms, 0) < bindparam("at"))
    .values(last_used_ms=bindparam("at"))
)


class SqlKeys:
    """Satisfies `KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: Key, digest: bytes) -> None:
        self._database.write(lambda connection: connection.execute(_ADD, _values(key, digest)))

    def digest_of(self, key_id: str) -> bytes | None:
        return self._database.read(
            lambda connection: connection.execute(_DIGEST, {"id": key_id}).scalar_one_or_none(), sign_in=True
        )

    def get(self, key_id: str) -> Key | None:
        row = self._database.read(
            lambda connection: connection.execute(_BY_ID, {"id": key_id}).one_or_none(), sign_in=True
        )
        return None if row is None else _key(row)

    def all(self) -> Sequence[Key]:
        query = select(keys).order_by(keys.c.created_ms, keys.c.key_id)
        return [_key(row) for row in self._database.read(lambda connection: connection.execute(query).all())]

    def revoke(self, key_id: str, now_ms: int) -> Key | None:
        revoking = update(keys).where(keys.c.key_id == key_id, keys.c.revoked_ms.is_(None)).values(revoked_ms=now_ms)

        def work(connection: Connection) -> Row[Any] | None:
            connection.execute(revoking)
            connection.execute(delete(sessions).where(sessions.c.key_id == key_id))
            return connection.execute(_BY_ID, {"id": key_id}).one_or_none()

        row = self._database.write(work)
        return None if row is None else _key(row)

    def mark_used(self, last_used_ms: Mapping[str, int]) -> None:
        # Sorted: processes that do this at the same time cannot deadlock.
        rows = [{"id": key_id, "at": at_ms} for key_id, at_ms in sorted(last_used_ms.items())]
        self._database.write(lambda connection: connection.execute(_USED, rows))


class SqlSessions:
    """Satisfies `SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session_id: str, key_id: str, now_ms: int) -> None:
        values = {"session_id": session_id, "key_id": key_id, "created_ms": now_ms, "seen_ms": now_ms}
        self._database.write(lambda connection: connection.execute(insert(sessions), values))

    def find(self, session_id: str) -> StoredSession | None:
        row = self._database.read(
            lambda connection: connection.execute(_SESSION, {"id": session_id}).one_or_none(), sign_in=True
        )
        return None if row is None else StoredSession(row.session_id, _key(row), row.began_ms, row.seen_ms)

    def mark_seen(self, session_id: str, now_ms: int) -> None:
        seeing = update(sessions).where(sessions.c.session_id == session_id).values(seen_ms=now_ms)
        self._database.write(lambda connection: connection.execute(seeing))

    def remove(self, session_id: str) -> None:
        removing = delete(sessions).where(sessions.c.session_id == session_id)
        self._database.write(lambda connection: connection.execute(removing))

    def remove_older(self, *, created_ms: int, seen_ms: int) -> None:
        removing = delete(sessions).where(or_(sessions.c.created_ms < created_ms, sessions.c.seen_ms < seen_ms))
        self._database.write(lambda connection: connection.execute(removing))


def _values(key: Key, digest: bytes) -> dict[str, Any]:
    allowance = key.allowance
    return {
        "key_id": key.key_id,
        "owner": key.owner,
        "digest": digest,
        "scopes": " ".join(sorted(key.scopes)),
        "models": None if key.models is None else " ".join(sorted(key.models)),
        "generations_per_minute": allowance.generations_per_minute,
        "concurrent": allowance.concurrent,
        "picousd_per_day": to_pico(allowance.usd_per_day),
        "tokens_per_day": allowance.tokens_per_day,
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "last_used_ms": key.last_used_ms,
    }


def _key(row: Row[Any]) -> Key:
    return Key(
        key_id=row.key_id,
        owner=row.owner,
        scopes=frozenset(map(Scope, row.scopes.split())),
        created_ms=row.created_ms,
        models=None if row.models is None else frozenset(row.models.split()),
        allowance=Allowance(
            row.generations_per_minute, row.concurrent, from_pico(row.picousd_per_day), row.tokens_per_day
        ),
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        last_used_ms=row.last_used_ms,
    )
