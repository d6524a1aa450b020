"""Real processes for tests: gunicorn as `make run` starts it, ended by pid whatever happens."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.constants import ROOT

# Bounds that only end a test that would hang.
START_S = 60
STOP_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """`base_url` without a slash at its end; `process` is gunicorn's master."""

    base_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def environment(folder: Path, **environ: str) -> dict[str, str]:
    """Only what the service needs: nothing of the machine's own settings."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    base = {"DATABASE_URL": f"sqlite:///{folder}/service.db", "APP_PROMPTS_DIR": str(ROOT / "prompts")}
    return {**keep, "PYTHONPATH": str(ROOT), **base, **environ}


def gunicorn(folder: Path, **environ: str) -> subprocess.Popen[bytes]:
    """Started as `make run` starts it, from an empty folder so that no `.env` of the checkout is read."""
    with (folder / "server.log").open("ab") as log:
        return gunicorn_with_log(folder, log.fileno(), **environ)


def gunicorn_with_log(folder: Path, descriptor: int, /, **environ: str) -> subprocess.Popen[bytes]:
    """As `gunicorn`, with its output somewhere else."""
    config = str(ROOT / "deploy/gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(folder), "-c", config, "wsgi:app"]
    env = environment(folder, **environ)
    return subprocess.Popen(command, cwd=folder, env=env, stdout=descriptor, stderr=descriptor)


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[Server]:
    """Ready when it is yielded."""
    port = environ.setdefault("PORT", str(free_port()))
    server = Server(f"http://127.0.0.1:{port}", gunicorn(folder, **environ), folder / "server.log")
    try:
        wait_until_ready(server)
        _wait_until_all_serve(server, int(environ.get("WEB_CONCURRENCY", "1")))
        yield server
    finally:
        stop(server.process)


def wait_until_ready(server: Server) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert server.process.poll() is None, server.log.read_text()
        try:
            with urllib.request.urlopen(f"{server.base_url}/api/v1/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.05)
    raise AssertionError("not ready: " + server.log.read_text())


def _wait_until_all_serve(server: Server, count: int) -> None:
    """The first worker that is ready says that the service is. Others may still be opening what a test takes away."""
    until = time.monotonic() + START_S
    while len(server.workers()) < count and time.monotonic() < until:
        time.sleep(0.05)
    workers = server.workers()
    for worker in workers if count > 1 else ():
        others = [pid for pid in workers if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until_ready(server)
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then SIGKILL after a bound; the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(STOP_S)


def needed_program(name: str, *places: str) -> str:
    """The path of a program that a test drives; without it the test is skipped, or fails under CI=true."""
    found = shutil.which(name) or next((place for place in places if os.path.exists(place)), None)
    if found is None:
        message = f"{name} is not installed: run `make test` as root, or install its Debian package"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    return found
