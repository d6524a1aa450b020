"""The OpenAPI document against the server: schemathesis, with all checks, and data that is right and data that is wrong.

`make fuzz` runs the same for longer. Exclusions, with their reasons: tests/schemathesis.toml.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import flask
from tests.conftest import ROOT
from tests.processes import Server, serving

# Each phase at least once for each operation; `make fuzz` sets more.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SECONDS = os.environ.get("FUZZ_SECONDS", "40")
SEED = os.environ.get("FUZZ_SEED", "1")


@pytest.fixture(name="key")
def _key(tmp_path: Path) -> str:
    """For all that the document has."""
    made = flask(tmp_path, "keys", "create", "fuzz", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(name="server")
def _server(tmp_path: Path, key: str) -> Iterator[Server]:
    with serving(tmp_path, APP_AUTH="required", APP_LOG_LEVEL="ERROR") as server:
        yield server


def test_the_server_does_what_the_document_says(server: Server, key: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", ROOT / "tests/schemathesis.toml", "run", f"{server.base_url}/openapi.json",
               "--mode", "all", "--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", SEED,
               "--continue-on-failure", "--no-color", "--header", f"Authorization: Bearer {key}"]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    log = server.log.read_text()
    assert '"event": "bug"' not in log, log[-5000:]
