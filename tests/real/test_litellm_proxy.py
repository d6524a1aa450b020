"""LiteLLM's proxy itself, in front of the scripted upstream that speaks chat completions, asked in both wire formats.

Asked for the Responses API, the proxy translates: the events are its own.
"""

import json
from collections.abc import Iterator

import pytest

from tests.real.packages import installed, running
from tests.servers.calls import PROMPTS, Answer, ask
from tests.servers.rows import JSON_TEXT, TEXT, name_of
from tests.support.calls import get
from tests.support.processes import Server, free_port, serving
from tests.support.upstream import Upstream
from tests.support.upstream_replay import whole

KINDS = ("responses", "chat")
# It does not start with a short one.
KEY = "sk-made-for-this-test-0123456789abcdef0123456789abcdef"
TOO_LONG = {
    "message": "This model's maximum context length is 4096 tokens. However, your messages resulted in 9001 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
THINKS, LABEL = (name_of("llama-cpp", case, "chat") for case in ("thinking", "json"))
MODELS = ("normal", "fault-incomplete", "fault-error-event", "fault-429-plain", "long", THINKS, LABEL)


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = installed("litellm", "litellm[proxy]==1.108.7", free_gib=3)
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    address = f"http://127.0.0.1:{port}"
    with Upstream() as upstream:
        upstream.replays["long"] = whole({"error": TOO_LONG}, 400)
        (folder / "config.yaml").write_text(json.dumps(configuration(upstream)))
        (folder / "providers.yaml").write_text(json.dumps({"providers": providers(address)}))
        command = [str(programs / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
        environ = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
        with (
            running(command, folder, f"{address}/health/liveliness", **environ),
            serving(
                folder,
                APP_PROVIDERS_FILE=str(folder / "providers.yaml"),
                APP_PROMPTS_DIR=str(PROMPTS),
                GATEWAY_KEY=KEY,
            ) as server,
        ):
            yield server


def configuration(upstream: Upstream) -> object:
    to_upstream = {
        "model": "openai/*",
        "api_base": upstream.base_url,
        "api_key": "none",
        "use_chat_completions_api": True,
    }
    return {
        "model_list": [{"model_name": "*", "litellm_params": to_upstream}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
    }


def providers(address: str) -> dict[str, object]:
    return {
        kind: {
            "kind": kind,
            "base_url": f"{address}/v1",
            "api_key_env": "GATEWAY_KEY",
            "models": {f"{model}-{kind}": {"as": model} for model in MODELS},
        }
        for kind in KINDS
    }


both = pytest.mark.parametrize("kind", KINDS)
streamed_too = pytest.mark.parametrize("stream", [False, True])


@both
@streamed_too
def test_an_answer(server: Server, kind: str, stream: bool) -> None:
    answer = ask(server, f"normal-{kind}", "plain", stream=stream)
    body = answer.body
    assert (answer.status, body.get("status")) == (200, "completed"), body
    assert body["output"] == "Answer to: Lobed leaves."
    assert [body[name] for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")] == [
        5, 5, 2, 1,
    ]  # fmt: skip
    if stream:
        assert answer.streamed == body["output"]


@both
@streamed_too
def test_an_answer_that_was_cut(server: Server, kind: str, stream: bool) -> None:
    answer = ask(server, f"fault-incomplete-{kind}", "plain", stream=stream)
    assert (answer.status, answer.body.get("incomplete_reason")) == (200, "max_output_tokens"), answer.body


@both
@streamed_too
def test_thoughts_are_no_answer(server: Server, kind: str, stream: bool) -> None:
    answer = ask(server, f"{THINKS}-{kind}", "thinking", stream=stream)
    assert (answer.status, answer.body.get("output")) == (200, TEXT), answer.body
    if stream:
        assert answer.streamed == TEXT


@both
def test_json(server: Server, kind: str) -> None:
    answer = ask(server, f"{LABEL}-{kind}", "json")
    assert (answer.status, answer.body.get("output")) == (200, JSON_TEXT), answer.body


@both
@streamed_too
def test_an_error_in_the_stream(server: Server, kind: str, stream: bool) -> None:
    answer = ask(server, f"fault-error-event-{kind}", "error", stream=stream)
    check_failure(answer, 502, "upstream-error")
    kept = get(server, f"history/{answer.body['request_id']}")
    assert kept["output"] == "Answer to: Lobed leaves."


@both
def test_a_text_that_is_too_long(server: Server, kind: str) -> None:
    answer = ask(server, f"long-{kind}", "plain")
    check_failure(answer, 422, "too-long-for-model")
    assert "9,001" in answer.body["detail"]
    assert "4,096" in answer.body["detail"]


@both
def test_a_rate_limit(server: Server, kind: str) -> None:
    check_failure(ask(server, f"fault-429-plain-{kind}", "plain"), 503, "upstream-rate-limited")


def check_failure(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.body.get("error")) == (status, error), answer.body
