"""Small counts that all processes share: wrong keys by address, and marks."""

from sqlalchemy import Connection, delete, insert, select, update

from .sqlite.database import Database
from .tables import attempts, marks


class SqlFailedLogins:
    """Satisfies `FailedLoginStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, address: str, now_ms: int, window_ms: int) -> tuple[int, int]:
        here = attempts.c.address == address

        def work(connection: Connection) -> tuple[int, int]:
            row = connection.execute(select(attempts.c.since_ms, attempts.c.wrong).where(here)).one_or_none()
            if row is None:
                connection.execute(insert(attempts), {"address": address, "since_ms": now_ms, "wrong": 1})
                return now_ms, 1
            # A clock that was set back must not keep a window open for good.
            fresh = not 0 <= now_ms - row.since_ms < window_ms
            since_ms, wrong = (now_ms, 1) if fresh else (row.since_ms, row.wrong + 1)
            connection.execute(update(attempts).where(here).values(since_ms=since_ms, wrong=wrong))
            return since_ms, wrong

        return self._database.write(work)

    def remove_older(self, since_ms: int) -> None:
        removing = delete(attempts).where(attempts.c.since_ms < since_ms)
        self._database.write(lambda connection: connection.execute(removing))


class SqlEpochs:
    """Satisfies `EpochStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> int:
        query = select(marks.c.value).where(marks.c.name == name)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none()) or 0

    def advance(self, name: str) -> int:
        here = marks.c.name == name

        def work(connection: Connection) -> int:
            value = connection.execute(select(marks.c.value).where(here)).scalar_one_or_none() or 0
            if value:
                connection.execute(update(marks).where(here).values(value=value + 1))
            else:
                connection.execute(insert(marks), {"name": name, "value": 1})
            return value + 1

        return self._database.write(work)
