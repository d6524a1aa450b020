"""What the generators of npm make of the document: clients whose calls are typed, and work."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server, needed_program, serving

HERE = Path(__file__).parent
PACKAGES = (
    "openapi-typescript@7.13.0",
    "openapi-fetch@0.17.0",
    "@hey-api/openapi-ts@0.99.0",
    "typescript@5.9.3",
    "esbuild@0.25.12",
)
CHECK = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022,dom,dom.iterable",
         "--module", "esnext", "--moduleResolution", "bundler")  # fmt: skip


@pytest.fixture(name="generated", scope="module")
def _generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    npm, folder = needed_program("npm"), tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    run(folder, npm, "install", "--no-audit", "--no-fund", *PACKAGES)
    with serving(folder) as server:
        with urllib.request.urlopen(f"{server.base_url}/openapi.json", timeout=10) as response:
            (folder / "openapi.json").write_bytes(response.read())
        run(folder, tool(folder, "openapi-typescript"), "openapi.json", "--output", "schema.d.ts")
        run(folder, tool(folder, "openapi-ts"), "--input", "openapi.json", "--output", "hey")
        yield server, folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def tool(folder: Path, name: str) -> str:
    return str(folder / "node_modules/.bin" / name)


@pytest.mark.parametrize("program", ["openapi_fetch", "hey_api"])
def test_a_typed_client_works(generated: tuple[Server, Path], program: str) -> None:
    server, folder = generated
    shutil.copy(HERE / f"{program}.ts", folder)
    run(folder, tool(folder, "tsc"), *CHECK, f"{program}.ts")
    bundled = f"{program}.mjs"
    run(
        folder,
        tool(folder, "esbuild"),
        f"{program}.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        f"--outfile={bundled}",
    )
    answer, output, event, refused = run(folder, needed_program("node"), bundled, server.base_url).splitlines()
    assert answer == "completed Echo (no model was asked): Hi"
    assert (output, event, refused) == ("object", "event: start", "invalid-input 422")
