"""Shared by the programs: the machine, processes, and what /proc says of them."""

import http.client
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
# Virtual environments of other subjects and databases that take long to fill. Git-ignored.
KEPT = ROOT / ".bench"
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    """The last lines of the process's output."""


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = " ".join(
        f"{name} {version(name)}" for name in ("flask", "flask-smorest", "gunicorn", "gevent", "openai")
    )
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {packages}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def raise_file_limit() -> None:
    """A thousand connections need more than the usual 1,024 files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_on_signals() -> None:
    """Ctrl-C and SIGTERM unwind the program, which ends every process that it has started."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(f"ended by {signal.Signals(number).name}")

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


class Process:
    """A running process and its children. `log` has what it printed."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        # Apart from the terminal: Ctrl-C reaches only the bench, which ends the process.
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**base, **env}, stdout=self.log, stderr=self.log, start_new_session=True
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for all that is left, each by its pid."""
        members = {pid: _started_at(pid) for pid in tree(self.pid)}
        try:
            self._process.terminate()
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for pid, started_at in members.items():
                if started_at is not None and _started_at(pid) == started_at:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self.log.close()

    def last_lines(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-1500:].strip()


@contextmanager
def server(command: Sequence[str], env: Mapping[str, str], port: int, health: str) -> Iterator[tuple[Process, float]]:
    """The process, and the seconds from its start to the first 200 of the path `health`."""
    began = time.monotonic()
    with Process(command, env) as process:
        while status_of(port, health) != 200:
            if process.has_ended() or time.monotonic() - began > START_TIMEOUT_S:
                raise DidNotStart(process.last_lines() or f"no answer in {START_TIMEOUT_S} s")
            time.sleep(0.01)
        yield process, time.monotonic() - began


def wait_for(port: int, path: str) -> None:
    """Until a running server gives 200 for the path."""
    until = time.monotonic() + START_TIMEOUT_S
    while status_of(port, path) != 200:
        if time.monotonic() > until:
            raise DidNotStart(f"{path} did not give 200 in {START_TIMEOUT_S} s")
        time.sleep(0.02)


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def status_of(port: int, path: str) -> int | None:
    with suppress(OSError, http.client.HTTPException):
        return get(port, path)[0]
    return None


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        for task in _listed(Path(f"/proc/{found[-1]}/task")):
            left += map(int, _read(task / "children").split())
    return found


def cpu_s(pid: int) -> float:
    """Seconds that the processes of a tree have computed, user and system."""
    return sum(sum(map(int, _stat(member)[11:13])) for member in tree(pid)) / TICKS_PER_S


def pss_mb(pid: int) -> float:
    """Memory of a tree in MB (2**20 bytes): what its processes share counts once."""
    kib = 0
    for member in tree(pid):
        lines = _read(Path(f"/proc/{member}/smaps_rollup")).splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def peak_rss_mb(pid: int) -> float:
    """The largest memory that each process of a tree has ever had, in MB: what they share counts more than once."""
    lines = [line for member in tree(pid) for line in _read(Path(f"/proc/{member}/status")).splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class PeakPss:
    """The largest `pss_mb` while the block runs, looked at every `EVERY_S`."""

    EVERY_S = 0.3

    def __init__(self, pid: int) -> None:
        self.mb = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self.EVERY_S):
            self.mb = max(self.mb, pss_mb(self._pid))


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _started_at(pid: int) -> str | None:
    stat = _stat(pid)
    return stat[19] if stat else None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; none if it is gone."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


def _listed(path: Path) -> list[Path]:
    with suppress(OSError):
        return list(path.iterdir())
    return []
