"""Counters that all processes share, in SQL."""

from sqlalchemy import Connection, insert, select, update

from .database import Database
from .tables import epochs


class SqlEpochs:
    """Satisfies `EpochStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> int:
        query = select(epochs.c.value).where(epochs.c.name == name)
        return self._database.read(lambda connection: connection.execute(query).scalar_one_or_none()) or 0

    def advance(self, name: str) -> int:
        here = epochs.c.name == name

        def work(connection: Connection) -> int:
            value = connection.execute(select(epochs.c.value).where(here)).scalar_one_or_none() or 0
            if value:
                connection.execute(update(epochs).where(here).values(value=value + 1))
            else:
                connection.execute(insert(epochs), {"name": name, "value": 1})
            return value + 1

        return self._database.write(work)
