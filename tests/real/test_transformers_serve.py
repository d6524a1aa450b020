"""`transformers serve` itself, with tiny models that are made here, asked in both wire formats."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.packages import installed, running
from tests.servers.calls import PROMPTS, ask
from tests.support.processes import Server, free_port, serving

HERE = Path(__file__).parent
KINDS = ("responses", "chat")


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = installed("transformers", "transformers[serving]==5.24.0", "torch==2.15.0", "accelerate", free_gib=12)
    folder, port = tmp_path_factory.mktemp("transformers"), free_port()
    made = subprocess.run(
        [programs / "python", HERE / "tiny_model.py", folder], capture_output=True, text=True, timeout=300
    )
    assert made.returncode == 0, made.stderr[-2000:]
    command = [str(programs / "transformers"), "serve", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, folder, f"http://127.0.0.1:{port}/health", HF_HUB_OFFLINE="1"):
        (folder / "providers.yaml").write_text(json.dumps({"providers": providers(folder, port)}))
        with serving(folder, APP_PROVIDERS_FILE=str(folder / "providers.yaml"), APP_PROMPTS_DIR=str(PROMPTS)) as server:
            yield server


def providers(folder: Path, port: int) -> dict[str, object]:
    def models(kind: str) -> dict[str, object]:
        return {f"{name}-{kind}": {"as": str(folder / name)} for name in ("brief", "endless")}

    address = f"http://127.0.0.1:{port}/v1"
    return {kind: {"kind": kind, "base_url": address, "free": True, "models": models(kind)} for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_complete(server: Server, kind: str) -> None:
    answer = ask(server, f"brief-{kind}", "plain")
    assert (answer.status, answer.body.get("status")) == (200, "completed"), answer.body
    assert len(answer.body["output"]) == answer.body["output_tokens"] == 1
    assert answer.body["input_tokens"] > 20, "it has a token for each letter"
    assert answer.cache.endswith("stored")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_answer_is_not_complete(server: Server, kind: str, stream: bool) -> None:
    answer = ask(server, f"endless-{kind}", "cut", stream=stream)
    body = answer.body
    assert answer.status == 200, body
    assert (body["status"], body["incomplete_reason"]) == ("incomplete", "max_output_tokens")
    assert (body["output_tokens"], body["cost_usd"]) == (16, "0")
    assert body["output"]
    if stream:
        assert answer.streamed == body["output"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_ignores_schemas_is_named(server: Server, kind: str) -> None:
    answer = ask(server, f"brief-{kind}", "json")
    assert (answer.status, answer.body["error"]) == (502, "invalid-output")
    assert "schema" in answer.body["detail"]
