"""Failed logins by address, in SQL."""

from sqlalchemy import Connection, delete, insert, select, update

from .database import Database
from .tables import failed_logins


class SqlFailedLogins:
    """Satisfies `FailedLoginStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        here = failed_logins.c.address == address

        def work(connection: Connection) -> tuple[int, int]:
            row = connection.execute(select(failed_logins.c.since_ms, failed_logins.c.wrong).where(here)).one_or_none()
            if row is None:
                connection.execute(insert(failed_logins), {"address": address, "since_ms": now_ms, "wrong": 1})
                return now_ms, 1
            # A clock that was set back must not keep a window open forever.
            fresh = not 0 <= now_ms - row.since_ms < window_ms
            since_ms, wrong = (now_ms, 1) if fresh else (row.since_ms, row.wrong + 1)
            connection.execute(update(failed_logins).where(here).values(since_ms=since_ms, wrong=wrong))
            return since_ms, wrong

        return self._database.write(work)

    def remove_older(self, since_ms: int) -> None:
        removing = delete(failed_logins).where(failed_logins.c.since_ms < since_ms)
        self._database.write(lambda connection: connection.execute(removing))
