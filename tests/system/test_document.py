"""The OpenAPI document against the server: schemathesis, with all checks, and data that is right and data that is wrong.

`make fuzz` runs the same for longer. Exclusions, with their reasons: tests/schemathesis.toml.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.command_line import flask
from tests.support.constants import ROOT
from tests.support.processes import Server, serving

# Each phase at least once for each operation; `make fuzz` sets more.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SECONDS = os.environ.get("FUZZ_SECONDS", "30")
SEED = os.environ.get("FUZZ_SEED", "1")

EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["start", "delta", "done", "error"]},
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "data": {"type": "string"},
    },
    "required": ["event", "id", "data"],
    "additionalProperties": False,
}


def document_of(server: Server, folder: Path, key: str) -> Path:
    """The document; without a key also without what it says of keys."""
    headers = {"X-Forwarded-For": "127.0.0.1", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{server.base_url}/openapi.json", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        document = json.load(response)
    if not key:
        del document["components"]["securitySchemes"]
        for operation in (item for path in document["paths"].values() for item in path.values() if "responses" in item):
            operation.pop("security", None)
    _type_events(document)
    (folder / "openapi.json").write_text(json.dumps(document))
    return folder / "openapi.json"


def _type_events(value: Any) -> None:
    """The document calls an event stream a text, for clients; schemathesis checks each event of it against the schema."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, dict) and "text/event-stream" in inner:
            inner["text/event-stream"]["schema"] = EVENT
        _type_events(inner)


def check(server: Server, folder: Path, key: str = "") -> None:
    document = document_of(server, folder, key)
    program = Path(sys.executable).with_name("schemathesis")
    command = [str(program), "--config-file", str(ROOT / "tests/schemathesis.toml"), "run", str(document), "--url", server.base_url,
               "--mode", "all", "--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", SEED,
               "--continue-on-failure", "--no-color"]  # fmt: skip
    environ = {
        **os.environ,
        "FUZZ_KEY": key,
        "PYTHONPATH": str(ROOT),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
    }
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    log = server.log.read_text()
    assert '"event": "unexpected error"' not in log, log[-5000:]


def test_with_a_key(tmp_path: Path) -> None:
    made = flask(tmp_path, "keys", "create", "fuzz", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    with serving(tmp_path, APP_AUTH="required", APP_PROXY_HOPS="1", APP_LOG_LEVEL="ERROR") as server:
        check(server, tmp_path, key=made.stdout.strip())


def test_without_a_key_on_its_own_machine(tmp_path: Path) -> None:
    with serving(tmp_path, APP_PROXY_HOPS="1", APP_LOG_LEVEL="ERROR") as server:
        check(server, tmp_path)
