"""Failed logins by address, in SQL."""

from sqlalchemy import BigInteger, Connection, and_, bindparam, case, delete

from .database import Database
from .tables import failed_logins
from .upsert import insert

_logins = failed_logins.c
_INSERT = insert(failed_logins)
_since_ms = _INSERT.excluded.since_ms
# A clock that was set back must not keep a window open forever.
_same_window = and_(
    _since_ms >= _logins.since_ms, _since_ms - _logins.since_ms < bindparam("window_ms", type_=BigInteger)
)
_COUNT = _INSERT.on_conflict_do_update(
    index_elements=[_logins.address],
    set_={
        "since_ms": case((_same_window, _logins.since_ms), else_=_since_ms),
        "wrong": case((_same_window, _logins.wrong + 1), else_=1),
    },
).returning(_logins.since_ms, _logins.wrong)


class SqlFailedLogins:
    """Satisfies `FailedLoginStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        values = {"address": address, "since_ms": now_ms, "wrong": 1, "window_ms": window_ms}

        def work(connection: Connection) -> tuple[int, int]:
            since_ms, wrong = connection.execute(_COUNT, values).one()
            return since_ms, wrong

        return self._database.write(work, short=True)

    def remove_older(self, since_ms: int) -> None:
        removing = delete(failed_logins).where(failed_logins.c.since_ms < since_ms)
        self._database.write(lambda connection: connection.execute(removing))
