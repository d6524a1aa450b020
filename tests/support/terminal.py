"""A program whose stderr is a terminal."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Terminal:
    """`process` is the program. What it writes to stdout comes here, too."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor

    def lines(self) -> Iterator[str]:
        """Until the program ends."""
        rest = b""
        while True:
            try:
                piece = os.read(self._descriptor, 4096)
            except OSError:  # Linux says so that nobody has the other end open
                return
            if not piece:
                return
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.decode().rstrip("\r") for line in whole)


@contextmanager
def on_terminal(command: Sequence[str], folder: Path, environ: dict[str, str]) -> Iterator[Terminal]:
    """The program is ended at the end of the block."""
    ours, its = os.openpty()
    process = subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=its, stderr=its)
    os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        process.terminate()
        process.wait(60)
        os.close(ours)
