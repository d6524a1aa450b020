"""Programs of PyPI, each in a virtual environment of its own, which stays for the next run. And how they are run."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.constants import ROOT
from tests.support.processes import needed_program

# Outside the project's own environment: these packages want other versions of what it has.
FOLDER = ROOT / ".bench" / "real"
INSTALL_S = 1500
START_S = 240
STOP_S = 30


def installed(name: str, *requirements: str, free_gib: int) -> Path:
    """The `bin` folder of an environment with these packages. Without it, the test is skipped and says why."""
    folder = FOLDER / name
    wanted, done = "\n".join(requirements), folder / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return folder / "bin"
    uv = needed_program("uv", str(Path(sys.executable).parent / "uv"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(FOLDER).free >> 30) < free_gib:
        pytest.skip(f"{name} needs {free_gib} GiB of disk, and {free} are free")
    for command in (
        ("venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
        ("pip", "install", "--quiet", "--python", str(folder / "bin/python"), *requirements),
    ):
        try:
            ran = subprocess.run((uv, *command), capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{name} could not be installed within {INSTALL_S} s")
        if ran.returncode != 0:
            pytest.skip(f"{name} cannot be installed from PyPI here: {ran.stderr[-500:]}")
    done.write_text(wanted)
    return folder / "bin"


@contextmanager
def running(command: list[str], folder: Path, address: str, **environ: str) -> Iterator[Path]:
    """A server, ready when `address` answers; its log. It is ended with all that it started."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    log = folder / "log.txt"
    with log.open("wb") as out:
        env: Mapping[str, str] = {**kept, "HOME": str(folder), "NO_PROXY": "127.0.0.1", **environ}
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(process, address, log)
        yield log
    finally:
        end(process)


def wait_for(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"{address} does not answer: {log.read_text()[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """It leads its session, so that its group is its own processes."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue
