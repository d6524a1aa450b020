"""Runs blocking calls off the event loop.

SQLite blocks its thread on a lock or a slow disk. Under gevent that would block the whole process, so such calls run in
real OS threads, and only the calling greenlet waits. Code in these threads must not log or take a lock that greenlets
use: it returns a value or an error, and the caller does the rest.
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadPool:
    """Up to `size` real threads under gevent; otherwise the caller's thread, which is already real."""

    def __init__(self, size: int) -> None:
        self._pool = _gevent_pool(size)

    def run(self, function: Callable[[], T]) -> T:
        """The function's result, or what it raised."""
        if self._pool is None:
            return function()
        # gevent prints the traceback of any error in a pool thread, so errors are returned as values.
        result, error = self._pool.apply(_outcome, (function,))
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def after_others(self, function: Callable[[], object]) -> None:
        """For a pool of one thread: call `function` when the thread has done what it was given, and do not wait for it."""
        if self._pool is None:
            function()
            return
        import gevent

        def wait() -> None:
            self._pool.apply(_nothing)
            function()

        gevent.spawn(wait)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.kill()


def _nothing() -> None:
    pass


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:
        return None, error


def _gevent_pool(size: int) -> Any:
    """None unless gevent has patched this process's threads."""
    try:
        from gevent import monkey, threadpool
    except ImportError:
        return None
    return threadpool.ThreadPool(size) if monkey.is_module_patched("threading") else None
