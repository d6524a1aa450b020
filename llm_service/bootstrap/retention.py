"""Deletion in all places where texts are kept: the database, and the file of outcomes that it could not take."""

from llm_service.adapters.files.spool import FileSpool
from llm_service.adapters.sql.retention import SqlRetention
from llm_service.core.errors import StorageUnavailable


class WholeRetention:
    """Satisfies `Retention`. The file comes first: if it cannot be changed, no row is deleted and the caller hears it."""

    def __init__(self, rows: SqlRetention, spool: FileSpool) -> None:
        self._rows = rows
        self._spool = spool

    def delete(self, owner: str, request_id: str) -> str | None:
        self._forget(owner, request_id)
        return self._rows.delete(owner, request_id)

    def delete_all(self, owner: str) -> int:
        self._forget(owner)
        return self._rows.delete_all(owner)

    def prune(self, before_ms: int) -> int:
        try:
            self._spool.prune(before_ms)
        except OSError as error:
            raise _unavailable() from error
        return self._rows.prune(before_ms)

    def scrub(self) -> None:
        self._rows.scrub()

    def _forget(self, owner: str, request_id: str | None = None) -> None:
        try:
            self._spool.forget(owner, request_id)
        except OSError as error:
            raise _unavailable() from error


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("The file of outcomes that were put aside cannot be changed. Nothing was deleted.")
