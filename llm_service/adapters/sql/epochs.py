"""Counters that all processes share, in SQL."""

from sqlalchemy import Connection, select

from .database import Database
from .tables import epochs
from .upsert import add_to

_ADVANCE = add_to(epochs, ("name",), ("value",)).returning(epochs.c.value)


class SqlEpochs:
    """Satisfies `EpochStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> int:
        query = select(epochs.c.value).where(epochs.c.name == name)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none()) or 0

    def advance(self, name: str) -> int:
        def work(connection: Connection) -> int:
            value: int = connection.execute(_ADVANCE, {"name": name, "value": 1}).scalar_one()
            return value

        return self._database.write(work, short=True)
