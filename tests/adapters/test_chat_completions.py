"""Chat completions as real servers send them: what is the answer, and what is not.

The chunks are minimal; each group names the servers that send such ones.

Longer than other modules: what servers send is one table.
"""

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_api.quirks import NO_QUIRKS, Quirks
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core import errors
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, Delta, Done, ProviderCall, ProviderEvent, Status
from llm_service.core.templates.outputs import OutputFormat
from llm_service.core.usage.tokens import Usage
from tests.support.builders import messages_of
from tests.support.one_answer import JSON, answering
from tests.support.upstream_replay import KEEP_ALIVES

OUTPUT = OutputFormat("reply", {"type": "object", "properties": {"label": {"type": "string"}}}, {"label": "x"})
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}


def data(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def choice(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "choices": choices, **more}


def text(content: Any, finish_reason: str | None = None) -> dict[str, Any]:
    return chunk(choice(finish_reason, content=content))


STOP = chunk(choice("stop"))
ANSWER = data(text("Lisbon."), STOP) + DONE


def call(output: OutputFormat | None = None, **options: Any) -> ProviderCall:
    return ProviderCall("m", messages_of("Be brief.", "Capital of Portugal?"), options, output)


def read(
    body: bytes,
    *,
    sent: ProviderCall | None = None,
    quirks: Quirks = NO_QUIRKS,
    idle_timeout_s: float = 60,
    **server: Any,
) -> tuple[list[ProviderEvent], ServiceError | None]:
    """The events of a call that is answered with `body`, and the error that ended it."""
    events: list[ProviderEvent] = []
    with answering(body, **server) as answer:
        provider = ApiProvider(
            ChatWire(), api_key=None, base_url=answer.base_url, idle_timeout_s=idle_timeout_s, quirks=quirks
        )
        try:
            events += provider.stream(sent or call(), CallContext(time.monotonic() + 60, SystemClock()))
        except ServiceError as error:
            return events, error
        finally:
            provider.close()
    return events, None


def done_of(body: bytes, **more: Any) -> Done:
    events, error = read(body, **more)
    assert error is None
    *deltas, done = events
    assert isinstance(done, Done)
    assert all(isinstance(delta, Delta) for delta in deltas)
    return done


def test_what_is_said_of_a_server_is_a_readable_part_of_its_identity() -> None:
    def identity(quirks: Quirks, **of_models: Quirks) -> str:
        provider = ApiProvider(
            ChatWire(),
            name="old",
            api_key=None,
            base_url="http://x/v1",
            idle_timeout_s=60,
            quirks=quirks,
            model_quirks=of_models,
        )
        return provider.identity

    strip = Quirks(strip_think=True)
    assert identity(NO_QUIRKS) == "old:chat:http://x/v1"
    assert identity(strip, m=NO_QUIRKS) == "old:chat:http://x/v1 strip_think m="
    both = Quirks(strip_think=True, schema_in_prompt=True)
    assert identity(NO_QUIRKS, m=both, k=strip) == "old:chat:http://x/v1 k=strip_think m=strip_think+schema_in_prompt"


# -- what is sent


def test_what_is_sent_to_any_server() -> None:
    body = ChatWire().body(call(temperature=0.5, top_p=1, max_output_tokens=16), NO_QUIRKS, own_address=False)
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Capital of Portugal?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 1,
        "max_tokens": 16,
    }


def test_openai_itself_stores_nothing_and_has_another_name_for_the_bound() -> None:
    body = ChatWire().body(call(max_output_tokens=16), NO_QUIRKS, own_address=True)
    assert (body["max_completion_tokens"], body["store"], "max_tokens" in body) == (16, False, False)
    quirks = Quirks(max_completion_tokens=True)
    body = ChatWire().body(call(max_output_tokens=16), quirks, own_address=False)
    assert (body["max_completion_tokens"], "store" in body, "max_tokens" in body) == (16, False, False)


def test_a_template_without_a_system_prompt_sends_no_system_message() -> None:
    body = ChatWire().body(ProviderCall("m", messages_of("", "Hello"), {}), NO_QUIRKS, own_address=False)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_schema_is_a_response_format() -> None:
    body = ChatWire().body(call(OUTPUT), NO_QUIRKS, own_address=False)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "reply",
            "strict": True,
            "schema": {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]},
        },
    }
    assert body["messages"][0]["content"] == "Be brief."


def test_a_server_that_ignores_schemas_gets_it_in_the_prompt_too() -> None:
    body = ChatWire().body(call(OUTPUT), Quirks(schema_in_prompt=True), own_address=False)
    system = body["messages"][0]["content"]
    assert system.startswith("Be brief.\n\n")
    assert '"label"' in system
    assert "response_format" in body
    plain = ChatWire().body(call(), Quirks(schema_in_prompt=True), own_address=False)
    assert plain["messages"][0]["content"] == "Be brief."


# -- what the answer is


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ANSWER, "Lisbon."),
        (data(text("Lis"), text("bon.", "stop")) + DONE, "Lisbon."),
        (data(chunk(choice(role="assistant", content=None)), text(None), text(""), text("Lisbon."), STOP), "Lisbon."),
        (data(text("Lisbon."), chunk({"index": 0, "finish_reason": "stop"})), "Lisbon."),
        (data(text("Lisbon."), chunk({"index": 0, "delta": None, "finish_reason": "stop"})), "Lisbon."),
        # Azure: what the filter says comes before, between and after.
        (data(chunk(prompt_filter_results=[{}]), text("Lisbon."), STOP, chunk({"index": 0, "finish_reason": None})), "Lisbon."),
        # Mistral: parts instead of text, some of them thoughts.
        (
            data(
                text([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "text": "Hm."}]),
                text([{"type": "text", "text": "Lis"}, {"type": "text", "text": None}, {"type": "text", "text": "bon."}]),
                STOP,
            ),
            "Lisbon.",
        ),
        # Several answers: one was asked for.
        (data(chunk(choice(content="Lisbon."), {**choice(content="Porto."), "index": 1}), STOP), "Lisbon."),
        (data(chunk({**choice("stop", content="Porto."), "index": 1}), text("Lisbon."), STOP), "Lisbon."),
        (data(chunk({"delta": {"content": "Lisbon."}, "finish_reason": "stop"})), "Lisbon."),
        # The whole message in the last chunk, alone or after its deltas.
        (data(chunk({"message": {"role": "assistant", "content": "Lisbon."}, "finish_reason": "stop"})), "Lisbon."),
        (data(text("Lisbon."), chunk({"message": {"content": "Lisbon."}, "finish_reason": "stop"})), "Lisbon."),
        (data(text("Lis", ""), text("bon.", ""), STOP), "Lisbon."),
        # LiteLLM: the usage beside an empty choice
        (data(text("Lisbon."), STOP, chunk(choice(content=None), usage=USAGE)), "Lisbon."),
        # Keep-alives and what is not known.
        (b": OPENROUTER PROCESSING\n\n" + data({}, {"type": "ping"}) + ANSWER, "Lisbon."),
        (data(text("Lis"), text("bon."), chunk(choice("eos_token"))), "Lisbon."),
    ],
)  # fmt: skip
def test_complete(body: bytes, expected: str) -> None:
    done = done_of(body)
    assert (done.status, done.text, done.incomplete_reason) == (Status.COMPLETED, expected, None)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_no_answer(name: str) -> None:
    """DeepSeek, vLLM, llama.cpp; Ollama, OpenRouter."""
    usage = chunk(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 0}})
    body = data(chunk(choice(content=None, **{name: "Hm, "})), text("Lisbon."), STOP, usage) + DONE
    events, _ = read(body)
    assert [event.text for event in events if isinstance(event, Delta)] == ["Lisbon."]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.usage == Usage(20, 8, 28, reasoning_tokens=None), "0 beside thoughts is not known"
    only_thoughts = done_of(data(chunk(choice(**{name: "Hm."})), STOP, usage) + DONE)
    assert (only_thoughts.status, only_thoughts.text, only_thoughts.incomplete_reason) == (
        Status.INCOMPLETE,
        "",
        "empty_output",
    )


@pytest.mark.parametrize(
    ("body", "expected", "reason"),
    [
        (data(text("1. Oak 2. El"), chunk(choice("length"))) + DONE, "1. Oak 2. El", "max_output_tokens"),
        (data(text("1. Oak"), chunk(choice("model_length"))) + DONE, "1. Oak", "max_output_tokens"),
        (data(text("1. Oak"), chunk(choice("content_filter"))) + DONE, "1. Oak", "content_filter"),
        (data(chunk(choice("content_filter"))) + DONE, "", "content_filter"),
        (data(text("1. Oak"), chunk(choice("SAFETY"))) + DONE, "1. Oak", "content_filter"),
        (data(text("1. Oak"), chunk(choice("of_the_future"))) + DONE, "1. Oak", "of_the_future"),
        (data(text("1. Oak"), chunk(choice("x" * 50))) + DONE, "1. Oak", "unknown"),
        (data(text("1. Oak")) + DONE, "1. Oak", "unknown"),
        (DONE, "", "unknown"),
        (data(STOP) + DONE, "", "empty_output"),
        (data(text(" \n"), STOP) + DONE, " \n", "empty_output"),
        (data(chunk(choice(tool_calls=[{"function": {"name": "f"}}])), chunk(choice("tool_calls"))), "", "empty_output"),
        (data(chunk(choice(tool_calls=[{"function": {"name": "f"}}])), STOP), "", "empty_output"),
        (data(text("I look."), chunk(choice("function_call"))), "I look.", "tool_calls"),
        (data(chunk(choice(refusal="I cannot.")), STOP) + DONE, "I cannot.", "refusal"),
        (data(text("I "), chunk(choice(content="look. ", refusal="I cannot.")), STOP) + DONE, "I look. I cannot.", "refusal"),
        (data(text([{"type": "refusal", "refusal": "I cannot."}]), STOP) + DONE, "I cannot.", "refusal"),
    ],
)  # fmt: skip
def test_incomplete(body: bytes, expected: str, reason: str) -> None:
    done = done_of(body)
    assert (done.status, done.text, done.incomplete_reason) == (Status.INCOMPLETE, expected, reason)


def test_cut_is_not_complete_whatever_the_server_calls_it() -> None:
    body = data(text("1. Oak 2. El"), STOP, chunk(usage={**USAGE, "completion_tokens": 16})) + DONE
    done = done_of(body, sent=call(max_output_tokens=16))
    assert (done.status, done.incomplete_reason) == (Status.INCOMPLETE, "max_output_tokens")
    assert done_of(body, sent=call(max_output_tokens=17)).status is Status.COMPLETED


@pytest.mark.parametrize("cut", range(1, 8))
def test_thoughts_in_the_text_are_dropped_where_the_operator_says_so(cut: int) -> None:
    written = "<think>\nHm.</think>\n\nLisbon."
    body = data(*(text(written[start : start + cut]) for start in range(0, len(written), cut)), STOP) + DONE
    assert done_of(body).text == written
    events, _ = read(body, quirks=Quirks(strip_think=True))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Lisbon."
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.text, done.status) == ("Lisbon.", Status.COMPLETED)


def test_thoughts_in_any_form_make_no_tokens_of_thoughts_unknown() -> None:
    usage = chunk(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 0}})
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    said = done_of(data(text(parts), text("Lisbon."), STOP, usage) + DONE)
    assert (said.text, said.usage.reasoning_tokens) == ("Lisbon.", None)
    dropped = done_of(data(text("<think>Hm.</think>Lisbon."), STOP, usage) + DONE, quirks=Quirks(strip_think=True))
    assert (dropped.text, dropped.usage.reasoning_tokens) == ("Lisbon.", None)
    assert done_of(data(text("Lisbon."), STOP, usage) + DONE).usage.reasoning_tokens == 0


def test_thoughts_before_an_error_may_be_billed() -> None:
    for thoughts, may_be_billed in ((chunk(choice(reasoning_content="Hm.")), True), (chunk(choice(content="")), False)):
        _, error = read(data(thoughts, {"error": {"code": 500}}))
        assert error is not None
        assert error.may_be_billed is may_be_billed


def test_an_empty_error_beside_a_text_is_none() -> None:
    empty = {"code": None, "message": ""}
    body = data({**text("Lisbon."), "error": empty}, chunk({**choice("stop"), "error": empty})) + DONE
    assert done_of(body).text == "Lisbon."


@pytest.mark.parametrize("empty", [{}, {"code": None, "message": ""}, "", False])
def test_an_empty_error_beside_the_usage_or_before_the_text_is_none(empty: Any) -> None:
    before, usage = chunk(prompt_filter_results=[], error=empty), chunk(usage=USAGE, error=empty)
    said = done_of(data(before, text("Lisbon."), STOP, usage) + DONE)
    assert (said.text, said.usage.total_tokens) == ("Lisbon.", 28)


@pytest.mark.parametrize("alive", KEEP_ALIVES)
def test_events_that_only_keep_the_connection_are_no_chunks(alive: bytes) -> None:
    assert done_of(alive + data(text("Lis")) + alive + data(text("bon."), STOP) + alive + DONE).text == "Lisbon."


@pytest.mark.parametrize("line", [b'{"code": 0}', b'{"error": null}', b'{"detail": ""}', b"error: {}", b"error: null"])
def test_a_line_after_the_text_that_tells_no_error_is_none(line: bytes) -> None:
    assert done_of(data(text("Lisbon."), STOP) + line + b"\n\n").text == "Lisbon."


def test_a_text_that_only_thinks_or_only_seems_to() -> None:
    strip = Quirks(strip_think=True)
    assert done_of(data(text("<think>Hm."), STOP) + DONE, quirks=strip).incomplete_reason == "empty_output"
    assert done_of(data(text("<thi"), STOP) + DONE, quirks=strip).text == "<thi"


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "{}", "```\n{}\n```\n"])
def test_json_in_a_fence_is_the_answer(fence: str) -> None:
    value = '{"label": "tree"}'
    body = data(text(fence.replace("{}", value)), STOP) + DONE
    assert done_of(body, sent=call(OUTPUT)).text.strip() == value
    assert done_of(body).text == fence.replace("{}", value), "nobody asked for JSON"


# -- the end of a stream


@pytest.mark.parametrize(
    "end",
    [b"", DONE, b"data: [DONE] \n\n", DONE + b"data: {bad\n\n", b"data: {bad\n\n", b"data: [1]\n\n", b"data: {\"cho"],
)  # fmt: skip
def test_what_follows_the_end_of_the_text_does_not_matter(end: bytes) -> None:
    done = done_of(data(text("Lisbon."), STOP) + end)
    assert (done.status, done.text) == (Status.COMPLETED, "Lisbon.")


def test_a_connection_that_is_lost_after_the_end_of_the_text_does_not_matter() -> None:
    assert done_of(data(text("Lisbon."), STOP), length=10_000).status is Status.COMPLETED


def test_a_server_that_never_ends_the_stream_is_not_waited_for() -> None:
    done = done_of(data(text("Lisbon."), STOP, chunk(usage=USAGE)), length=10_000, hold=True, idle_timeout_s=0.2)
    assert (done.status, done.usage) == (Status.COMPLETED, Usage(20, 8, 28))
    started = time.monotonic()
    thoughts = data(chunk(choice(reasoning="Hm.")), STOP)
    assert done_of(thoughts, length=10_000, hold=True, idle_timeout_s=0.2).incomplete_reason == "empty_output"
    assert time.monotonic() - started < 30, "the deadline is after a minute"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (data(text("Lis")), "Lis"),
        (data(chunk(choice(role="assistant", content=""))), ""),
        (data(text("Lis", ""), text("bo", "")), "Lisbo"),
        # Gemini: every chunk calls itself the last one. More text means that it was not.
        (data(text("Lis", "stop"), text("bo")), "Lisbo"),
    ],
)
def test_a_stream_that_ends_too_early(body: bytes, kept: str) -> None:
    events, error = read(body)
    assert type(error) is errors.UpstreamTruncated
    assert "".join(event.text for event in events if isinstance(event, Delta)) == kept


def test_chunks_that_all_call_themselves_the_last_one_must_end_well() -> None:
    body = data(text("Lis", "stop"), text("bon.", "stop"))
    assert done_of(body).text == "Lisbon."
    _, error = read(body, length=10_000)
    assert type(error) is errors.UpstreamTruncated


# -- usage


@pytest.mark.parametrize(
    ("chunks", "usage"),
    [
        ([text("x"), STOP, chunk(usage=USAGE)], Usage(20, 8, 28)),
        ([{**text("x"), "usage": None}, {**STOP, "usage": None}, chunk(usage=USAGE)], Usage(20, 8, 28)),
        ([text("x"), {**STOP, "usage": USAGE}], Usage(20, 8, 28)),
        # vLLM can count in every chunk; the last one counts.
        ([{**text("x"), "usage": {"prompt_tokens": 20, "completion_tokens": 1}}, STOP, chunk(usage=USAGE)], Usage(20, 8, 28)),
        ([text("x"), STOP, {"usage": USAGE}], Usage(20, 8, 28)),
        ([text("x"), STOP, {"choices": None, "usage": USAGE}], Usage(20, 8, 28)),
        ([text("x"), STOP], Usage()),
        ([text("x"), STOP, chunk(usage=[])], Usage()),
        ([text("x"), STOP, chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})], Usage()),
        (
            [text("x"), STOP, chunk(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 3}})],
            Usage(20, 8, 28, cached_input_tokens=3),
        ),
        # DeepSeek
        ([text("x"), STOP, chunk(usage={**USAGE, "prompt_cache_hit_tokens": 3})], Usage(20, 8, 28, cached_input_tokens=3)),
        # Thoughts within the output, and (xAI) beside it
        (
            [text("x"), STOP, chunk(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}})],
            Usage(20, 8, 28, reasoning_tokens=5),
        ),
        (
            [text("x"), STOP, chunk(usage={**USAGE, "total_tokens": 33, "completion_tokens_details": {"reasoning_tokens": 5}})],
            Usage(20, 13, 33, reasoning_tokens=5),
        ),
    ],
)  # fmt: skip
def test_usage(chunks: list[Any], usage: Usage) -> None:
    done = done_of(data(*chunks) + DONE)
    assert done.usage == usage
    assert done.model == "m-2026"


def test_the_model_is_the_one_that_the_server_names() -> None:
    assert done_of(data(text("x"), {"choices": [choice("stop")]})).model == "m-2026"
    assert done_of(data({**text("x", "stop"), "model": None})).model == "m"


def test_what_the_server_says_that_it_costs() -> None:
    """OpenRouter."""
    usage = {**USAGE, "cost": 0.00125}
    assert done_of(data(text("x"), STOP, chunk(usage=usage)) + DONE).cost_usd == Decimal("0.00125")
    assert done_of(data(text("x"), STOP, chunk(usage=USAGE)) + DONE).cost_usd is None
    events, _ = read(data(text("Lis"), {**OPENAI_ERROR, "usage": usage}))
    assert events[-1] == Billed(Usage(20, 8, 28), Decimal("0.00125"))


# -- errors inside a stream


OPENAI_ERROR = {"error": {"message": "secret", "type": "server_error", "code": None, "param": None}}


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (data(OPENAI_ERROR), errors.UpstreamError),
        (data({"error": {"message": "engine gone", "type": None, "code": "500"}}), errors.UpstreamError),
        (data({"error": {"code": 429, "message": "slow down"}}), errors.UpstreamRateLimited),
        (data({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}), errors.UpstreamRateLimited),
        (data({"error": "secret"}), errors.UpstreamError),
        (data({"error": {}}), errors.UpstreamError),
        # OpenRouter: beside a choice that ended so, or inside of it
        (data(chunk(choice("error", content=""), error={"code": 502, "message": "secret"})), errors.UpstreamError),
        (data(chunk({**choice("error"), "error": {"code": 429, "message": "secret"}})), errors.UpstreamRateLimited),
        (data(chunk({**choice("stop"), "error": {"code": 429, "message": "secret"}})), errors.UpstreamRateLimited),
        (data(chunk(choice("error"))), errors.UpstreamError),
        (data(chunk(choice("insufficient_system_resource"))), errors.UpstreamError),
        (data(chunk(choice("abort"))), errors.UpstreamError),
        # vLLM, SGLang, FastAPI: the error is the event
        (data({"object": "error", "message": "secret", "type": "InternalServerError", "code": 500}), errors.UpstreamError),
        (data({"code": 429, "message": "secret"}), errors.UpstreamRateLimited),
        (data({"status": 429, "message": "secret"}), errors.UpstreamRateLimited),
        (data({"message": "secret", "type": "server_error"}), errors.UpstreamError),
        (data({"detail": "secret"}), errors.UpstreamError),
        (data({"type": "error", "error": {"type": "overloaded_error"}}), errors.UpstreamError),
        (data({"error": {"code": 503, "message": "Loading model"}}), errors.UpstreamLoading),
        # Only the line `event:` says it
        (b"event: error\n" + data({"reason": "secret"}), errors.UpstreamError),
        (b"event: error\ndata: secret\n\n", errors.UpstreamError),
        (b"event: error\ndata: Too many requests\n\n", errors.UpstreamRateLimited),
        (b"event: error\n" + data("secret"), errors.UpstreamError),
        (b"event: error\n" + data(429), errors.UpstreamRateLimited),
        (data({"error": {"code": "context_length_exceeded"}}), errors.TooLongForModel),
        (data({"error": {"code": "content_filter"}}), errors.ContentFiltered),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "Lis"])
@pytest.mark.parametrize("end", [b"", DONE])
def test_an_error_inside_a_stream(told: bytes, error: type[ServiceError], before: str, end: bytes) -> None:
    """As the same HTTP status would be; the text before it is kept."""
    beginning = data(text(before)) if before else data(chunk(choice(role="assistant", content="")))
    events, raised = read(beginning + told + end)
    assert type(raised) is error
    assert raised is not None
    assert "secret" not in raised.detail
    assert events == ([Delta(before)] if before else [])


@pytest.mark.parametrize("before", ["", "Lis"])
def test_an_error_in_a_field_of_its_own(before: str) -> None:
    """llama.cpp once sent it so."""
    told = b'error: {"code": 429, "message": "secret"}\n\n'
    events, error = read((data(text(before)) if before else b"") + told)
    assert (events, type(error)) == ([Delta(before)] if before else [], errors.UpstreamRateLimited)


def test_an_error_beside_a_text_is_one() -> None:
    events, error = read(data(text("Lis"), chunk({**choice(content="bon"), "error": {"code": 429}})) + DONE)
    assert (events, type(error)) == ([Delta("Lisbon")], errors.UpstreamRateLimited)


def test_an_error_after_the_end_of_the_text_is_one() -> None:
    events, error = read(data(text("Lisbon."), STOP, OPENAI_ERROR) + DONE)
    assert (events, type(error)) == ([Delta("Lisbon.")], errors.UpstreamError)


def test_usage_before_an_error_is_billed() -> None:
    for body in (
        data({**text("Lis"), "usage": USAGE}, OPENAI_ERROR),
        data(text("Lis"), {**OPENAI_ERROR, "usage": USAGE}),
        data({**text("Lis"), "usage": USAGE}),
    ):
        events, error = read(body)
        assert error is not None
        assert events == [Delta("Lis"), Billed(Usage(20, 8, 28))]


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {bad\n\n",
        b"data: [1]\n\n",
        b"data: \xff\n\n",
        data(text(5)),
        data(chunk(choice(refusal=5))),
        data({"choices": 5}),
        data({"choices": [5]}),
        data({"choices": [{"delta": [1]}]}),
    ],
)
def test_the_text_before_a_bad_chunk_is_kept(bad: bytes) -> None:
    events, error = read(data(text("Lis"), text("bon")) + bad + ANSWER)
    assert events == [Delta("Lisbon")]
    assert type(error) is errors.UpstreamInvalidResponse


def test_odd_chunks_that_can_be_read_are_read() -> None:
    """Python's parser reads what the fast one refuses."""
    odd = b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud800"}, "logprobs": NaN}]}\n\n'
    assert done_of(data(text("Lis")) + odd + data(STOP) + DONE).text == "Lis\ufffd"


# -- one JSON body


def whole(message: Any, finish_reason: str | None = "stop", **more: Any) -> bytes:
    answer = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json.dumps(
        {"object": "chat.completion", "model": "m-2026", "choices": [answer], "usage": USAGE, **more}
    ).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (whole({"role": "assistant", "content": "Lisbon."}), (Status.COMPLETED, "Lisbon.", None)),
        (whole({"content": "Lisbon.", "reasoning_content": "Hm."}), (Status.COMPLETED, "Lisbon.", None)),
        (whole({"content": [{"type": "text", "text": "Lisbon."}]}), (Status.COMPLETED, "Lisbon.", None)),
        (whole({"content": None, "refusal": "I cannot."}), (Status.INCOMPLETE, "I cannot.", "refusal")),
        (whole({"content": None, "tool_calls": [{}]}, "tool_calls"), (Status.INCOMPLETE, "", "empty_output")),
        (whole({"content": "1. Oak"}, "length"), (Status.INCOMPLETE, "1. Oak", "max_output_tokens")),
        (whole({"content": "1. Oak"}, None), (Status.INCOMPLETE, "1. Oak", "unknown")),
    ],
)
def test_one_json_body(body: bytes, expected: tuple[Status, str, str | None]) -> None:
    done = done_of(body, media=JSON)
    assert (done.status, done.text, done.incomplete_reason) == expected
    assert (done.usage, done.model) == (Usage(20, 8, 28), "m-2026")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"code": 429, "message": "secret"}}, errors.UpstreamRateLimited),
        ({"error": "secret"}, errors.UpstreamError),
        ([{"error": {"code": 429, "message": "secret", "status": "RESOURCE_EXHAUSTED"}}], errors.UpstreamRateLimited),
        ({"detail": "secret"}, errors.UpstreamError),
        ({"choices": []}, errors.UpstreamInvalidResponse),
        ({"models": ["m"]}, errors.UpstreamInvalidResponse),
        ([], errors.UpstreamInvalidResponse),
        ("Hello", errors.UpstreamInvalidResponse),
        (None, errors.UpstreamInvalidResponse),
    ],
)
def test_a_json_body_that_is_no_answer(body: Any, error: type[ServiceError]) -> None:
    events, raised = read(json.dumps(body).encode(), media=JSON)
    assert (events, type(raised)) == ([], error)
    assert raised is not None
    assert "secret" not in raised.detail


# -- servers of another kind

ANTHROPIC = data(
    {"type": "message_start", "message": {"role": "assistant", "content": []}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Lisbon."}},
    {"type": "message_stop"},
)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (data({"type": "response.created", "response": {"status": "in_progress"}}), "text/event-stream"),
        (b"event: response.created\n" + data({"response": {"status": "in_progress"}}), "text/event-stream"),
        (json.dumps({"object": "response", "status": "completed", "output": []}).encode(), JSON),
    ],
)
def test_a_server_that_speaks_the_responses_api_is_named(body: bytes, media: str) -> None:
    events, error = read(body, media=media)
    assert error is not None
    assert (events, type(error)) == ([], errors.UpstreamInvalidResponse)
    assert "kind: responses" in error.detail
    assert (error.max_attempts, error.may_be_billed) == (1, False)


@pytest.mark.parametrize("body", [b"", b": nothing follows\n\n", data({"foo": 1}, {"bar": 2}), ANTHROPIC])
def test_a_stream_of_something_else_is_asked_for_once(body: bytes) -> None:
    _, error = read(body)
    assert error is not None
    assert (type(error), error.max_attempts, error.may_be_billed) == (errors.UpstreamInvalidResponse, 1, False)


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_chat_completions_is_told_the_other_kind(status: int) -> None:
    _, error = read(b'{"detail": "Not Found"}', status=status, media=JSON)
    assert type(error) is errors.UpstreamMisconfigured
    assert "chat completions" in str(error)
    assert "kind: responses" in str(error)
