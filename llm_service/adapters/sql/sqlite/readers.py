"""Connections that read, as many as the threads that use them."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine

from .thread_pool import ThreadPool

T = TypeVar("T")


class Readers:
    """Up to `threads` connections, opened when needed and kept. `close` closes them."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._idle: deque[Connection] = deque()
        self._threads = ThreadPool(threads)

    def open(self) -> None:
        """Open a connection now, for errors to show at the start."""
        self._idle.append(self._engine.connect())

    def run(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` on a snapshot of the data, or what it raised."""
        return self._threads.run(lambda: self._with_connection(work))

    def run_without(self, function: Callable[[], T]) -> T:
        """The result of a function that needs a thread but no connection."""
        return self._threads.run(function)

    def _with_connection(self, work: Callable[[Connection], T]) -> T:
        # In the thread: calls that still wait for a thread must not take or open a connection.
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            with connection.begin():
                result = work(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return result

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._threads.close()
