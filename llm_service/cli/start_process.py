"""The start checks in a process of their own, for gunicorn's master.

What the checks import must stay out of the master, because workers patch the standard library first. So a child of the
master checks, while the workers import the app; they wait for the result before they open it.
"""

import mmap
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

from llm_service.bootstrap.settings import Settings

# Larger than any exit code of the checks.
_NO_RESULT = 255
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class StartCheck:
    """Made in the master; the workers inherit it. `end` stops the child if it still runs."""

    def __init__(self, settings: Settings, *needs_key: str) -> None:
        """`needs_key` as in `check_start`."""
        self._code = mmap.mmap(-1, 1)  # all forks share it
        self._code[0] = _NO_RESULT
        # Nobody writes to it: it is closed when the child ends.
        self._over, over = os.pipe()
        self._child = os.fork()
        if not self._child:
            self._check(settings, *needs_key)
        os.close(over)

    @property
    def is_over(self) -> bool:
        return bool(select.select([self._over], [], [], 0)[0])

    @property
    def failure(self) -> str | None:
        """Why the service cannot start, once that is known."""
        if not self.is_over or self._code[0] == 0:
            return None
        if self._code[0] == _NO_RESULT:
            return "The start checks were killed. Is there enough memory?"
        return "The start checks failed: see above."

    @property
    def exit_code(self) -> int:
        return 1 if self._code[0] == _NO_RESULT else self._code[0]

    def wait(self, worker: Any) -> None:
        """In a worker: return when the checks have passed; exit if they failed, or if the worker is to stop."""
        while not select.select([self._over], [], [], 0.5)[0]:
            worker.notify()  # a migration may take longer than `timeout`
            if not worker.alive or worker.ppid != os.getppid():
                sys.exit(0)
        if self._code[0]:
            sys.exit(0)  # the master tells

    def end(self) -> None:
        if not self.is_over:
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGTERM)

    def _check(self, settings: Settings, *needs_key: str) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        try:
            from .start import check_start_or_exit

            check_start_or_exit(settings, *needs_key)
            self._code[0] = 0
        except SystemExit as exit_:
            self._code[0] = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            traceback.print_exc()
            self._code[0] = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
