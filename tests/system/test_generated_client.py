"""What a real generator makes of the document: a client whose calls are typed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server, serving

CALL = """
from client import Client
from client.api.generate import generate
from client.api.history import join_generation
from client.api.templates import basic_chat_v1, classify_v1, summarize_v1
from client.models import (
    BasicChatV1Parameters, BasicChatV1ParametersTone, BasicChatV1Request, ClassifyV1Parameters, ClassifyV1Request,
    GenerateRequest, SummarizeV1Request,
)

client = Client(base_url=BASE)
print(summarize_v1.sync(client=client, body=SummarizeV1Request(input_="A long text.")).status)
tone = BasicChatV1ParametersTone.SIMPLE
answer = basic_chat_v1.sync(client=client, body=BasicChatV1Request("Hi", parameters=BasicChatV1Parameters(tone)))
print(answer.system_prompt)
sorted_ = classify_v1.sync(client=client, body=ClassifyV1Request("Hi", ClassifyV1Parameters(labels=["bug", "idea"])))
print(type(sorted_.output_json).__name__)
plain = generate.sync(client=client, body=GenerateRequest(template_id="basic_chat", input_="Hi"))
print(type(plain).__name__)
print(join_generation.sync(plain.request_id, client=client).split(chr(10))[0])
try:
    BasicChatV1Parameters.from_dict({"tone": "loud"})
except ValueError as error:
    print(error)
"""
WRONG = """
from client.models import BasicChatV1Parameters, BasicChatV1Request
BasicChatV1Request("Hi", parameters=BasicChatV1Parameters(tone="loud"))
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture(name="generated", scope="module")
def _generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "config.yaml").write_text("post_hooks: []\n")
    with serving(folder) as server:
        generator = str(Path(sys.executable).with_name("openapi-python-client"))
        done = run(folder, generator, "generate", "--url", f"{server.base_url}/openapi.json", "--meta", "none",
                   "--output-path", "client", "--config", "config.yaml", "--fail-on-warning")  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield server, folder


def test_its_typed_calls_work(generated: tuple[Server, Path]) -> None:
    server, folder = generated
    done = run(folder, sys.executable, "-c", f"BASE = {server.base_url!r}\n{CALL}")
    assert done.returncode == 0, done.stderr
    status, prompt, output, plain, event, refused = done.stdout.splitlines()
    assert (status, output) == ("completed", "ClassifyV1Output")
    assert "in a simple tone" in prompt
    assert (plain, event) == ("Generation", "event: start")
    assert refused == "'loud' is not a valid BasicChatV1ParametersTone", "before any request"


def test_a_wrong_value_is_an_error_in_the_callers_editor(generated: tuple[Server, Path]) -> None:
    folder = generated[1]
    (folder / "wrong.py").write_text(WRONG)
    done = run(folder, sys.executable, "-m", "mypy", "--follow-imports=silent", "wrong.py")
    assert 'has incompatible type "str"' in done.stdout
