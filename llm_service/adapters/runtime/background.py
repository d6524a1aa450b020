"""Work in the background: greenlets under a gevent worker, threads elsewhere."""

import threading
from collections.abc import Callable

from llm_service.core.generation.ports import Reporter, Spawn


def make_spawn() -> Spawn:
    """A function that runs another in the background. Under gevent a greenlet: a third of a patched thread's cost."""
    try:
        import gevent
        from gevent import monkey
    except ImportError:
        return _spawn_thread
    return gevent.spawn if monkey.is_module_patched("threading") else _spawn_thread


def _spawn_thread(function: Callable[[], None]) -> None:
    threading.Thread(target=function, daemon=True).start()


class Ticker:
    """Calls functions repeatedly until it is closed. Their errors are reported, and the calls continue.

    Each function has its own task, so it never runs twice at the same time.
    """

    def __init__(self, spawn: Spawn, reporter: Reporter) -> None:
        self._spawn = spawn
        self._reporter = reporter
        self._closed = False
        self._due: list[threading.Event] = []

    def every(self, seconds: float, function: Callable[[], object]) -> Callable[[], None]:
        """Returns what makes the next call come at once. It may be called from anywhere, and returns at once."""
        due = threading.Event()
        self._due.append(due)
        self._spawn(lambda: self._loop(seconds, function, due))
        return due.set

    def close(self) -> None:
        self._closed = True
        for due in self._due:
            due.set()

    def _loop(self, seconds: float, function: Callable[[], object], due: threading.Event) -> None:
        while True:
            due.wait(seconds)
            # Before the call: what becomes due during it makes another one.
            due.clear()
            if self._closed:
                return
            try:
                function()
            except Exception as error:
                self._reporter.unexpected_error(error)
