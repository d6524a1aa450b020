"""The connections that read, under gevent: as many as threads, and some for signing in only."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.constants import ROOT

BEGIN = """
from gevent import monkey; monkey.patch_all()
import os, sys, gevent, gevent.threadpool
from sqlalchemy import text
from llm_service.adapters.sql.sqlite.database import READ_THREADS, Database

database = Database(sys.argv[1])
path = str(database.path)
sleep, lock = monkey.get_original("time", "sleep"), monkey.get_original("threading", "Lock")

def open_files():
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}") == path
        except FileNotFoundError:
            pass
    return found

def answer(connection):
    sleep(0.002)
    return connection.execute(text("SELECT 42")).scalar_one()

"""
MANY = """
def slow(connection):
    sleep(0.05)
    return answer(connection)

readers = [gevent.spawn(database.read, slow) for _ in range(100)]
gevent.sleep(0.3)
during = open_files()
assert gevent.joinall(readers) and {reader.value for reader in readers} == {42}
assert during <= READ_THREADS + 1, during  # and the writer
assert open_files() <= READ_THREADS + 1
"""
FAILED = """
def broken(connection):
    raise KeyError("x")

for _ in range(20):
    try:
        database.read(broken)
    except KeyError:
        pass
assert database.read(answer) == 42
assert open_files() <= 2, open_files()
"""
SIGN_IN = """
free = lock()
free.acquire()

def waiting(connection):
    with free:
        return answer(connection)

readers = [gevent.spawn(database.read, waiting) for _ in range(2 * READ_THREADS)]
gevent.sleep(0.1)
with gevent.Timeout(20):
    assert database.read(answer, sign_in=True) == 42
assert not any(reader.ready() for reader in readers)
free.release()
gevent.joinall(readers)
"""
END = """
database.close()
assert open_files() == 0, open_files()
print("done")
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(MANY, id="a hundred at once share the connections of the threads"),
        pytest.param(FAILED, id="a read that fails leaves no connection"),
        pytest.param(SIGN_IN, id="signing in waits for no other read"),
    ],
)
def test_readers(tmp_path: Path, script: str) -> None:
    command = [sys.executable, "-c", BEGIN + script + END, f"sqlite:///{tmp_path}/h.db"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.splitlines()[-1:] == ["done"], run.stdout + run.stderr
