"""What the stores need of a database. `sqlite.database` and `postgres.database` satisfy it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from llm_service.core.generation.ports import StorageSpace

T = TypeVar("T")


class Space(StorageSpace, Protocol):
    """The room that is left for answers. Call `look` every few seconds."""

    def look(self) -> None: ...


class Database(Protocol):
    """Opened once per process, after the fork. `close` when the process ends."""

    @property
    def space(self) -> Space: ...

    @property
    def crashes_alone(self) -> bool:
        """Whether it can lose what was not `durable` while this process goes on."""
        ...

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool = True,
        short: bool = False,
        wait_s: float | None = None,
    ) -> T:
        """Run `work` in a transaction. When this returns it is committed: no killed process of the service loses it.

        `durable`: nor does a power cut at the database's machine. `short`: it reads and writes a few rows, found by an
        index. `wait_s`: for a lock of others; None: the database's own patience.

        Raises `StorageError` or `IntegrityError`. `work` may run twice and must do nothing but SQL.
        """
        ...

    def read(self, work: Callable[[Connection], T], *, sign_in: bool = False) -> T:
        """Run `work` on a snapshot of the data. `sign_in`: it never waits behind a search.

        Raises `StorageError`.
        """
        ...

    def check(self) -> None:
        """Raise a `StorageError` if nothing can be written now."""
        ...

    def scrub(self) -> None:
        """Remove deleted text also from the bytes of the files. Raises `StorageBusy` if that is not possible now."""
        ...

    def close(self) -> None: ...
