"""Shared by the programs: the machine's size, servers on free ports, wrk, and medians."""

import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["-k", "gevent", "--worker-connections", "4000", "--no-control-socket", "--keep-alive", "5"]


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


@contextmanager
def process(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Always ended, by pid."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, cwd=ROOT, env={**base, **(env or {})}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def ours(**environ: str) -> Iterator[tuple[str, int]]:
    """The service with a fresh database, started as by `make run`; yields its URL and the master's pid."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        env = {"PORT": str(port), "DATABASE_URL": f"sqlite:///{folder}/bench.db", **environ}
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]
        with process(command, env) as master:
            base = f"http://127.0.0.1:{port}"
            wait_for(base + "/api/v1/ready")
            yield base, master.pid


@contextmanager
def bare() -> Iterator[str]:
    """`bench/bare.py` on the same worker class."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", *FLAGS, "-b", f"127.0.0.1:{port}", "bench.bare:app"]
    with process(command):
        wait_for(f"http://127.0.0.1:{port}/openapi.json")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def upstream() -> Iterator[str]:
    """The test provider in its own process; yields its base URL."""
    port = free_port()
    with process([sys.executable, "-m", "tests.support.upstream", "--port", str(port)]):
        wait_for(f"http://127.0.0.1:{port}/", any_answer=True)
        yield f"http://127.0.0.1:{port}/v1"


def wait_for(url: str, *, any_answer: bool = False, timeout_s: float = 20) -> None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            if any_answer:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"{url} did not answer in {timeout_s} s")


@dataclass(frozen=True)
class Load:
    """What wrk measured."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int


def wrk(url: str, script: str, *, connections: int, seconds: int) -> Load:
    """One wrk thread. `script` is Lua."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", file.name, url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(bad[1]) if bad else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate
    return Load(float(rate[1]), _latency(text, "50%"), _latency(text, "99%"), errors)


def median(loads: Sequence[Load]) -> Load:
    return Load(
        statistics.median(load.rps for load in loads),
        statistics.median(load.p50_ms for load in loads),
        statistics.median(load.p99_ms for load in loads),
        sum(load.errors for load in loads),
    )


def _latency(text: str, mark: str) -> float:
    found = re.search(rf"{mark}\s+([\d.]+)(us|ms|s)", text)
    assert found
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]


def tree_rss_mb(master: int) -> float:
    """Resident memory of a master and its workers, peak since each started."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    pages = 0
    for pid in [str(master), *children]:
        status = Path(f"/proc/{pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        pages += int(peak[1]) if peak else 0
    return pages / 1024
