"""Errors, in whatever dress a server puts them: in place of an answer, and inside of one.

Longer than other modules: what servers send is one table.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from llm_service.core import errors
from tests.servers.asking import ask
from tests.servers.shapes import CREATED, USAGE, delta, response, stream
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay, sse, whole

SECRET = "the caller's own words"


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": SECRET, **fields}}


IN_A_STREAM: list[tuple[str, Any, type[errors.ServiceError]]] = [
    ("a number", error(code=500), errors.UpstreamError),
    ("digits", error(code="500", type=None), errors.UpstreamError),
    ("a word", error(code="server_error"), errors.UpstreamError),
    ("nothing but words", error(), errors.UpstreamError),
    ("a sentence", {"error": SECRET}, errors.UpstreamError),
    ("a limit as a number", error(code=429), errors.UpstreamRateLimited),
    ("a limit as digits", error(code="429"), errors.UpstreamRateLimited),
    ("a limit as a word", error(code="rate_limit_exceeded"), errors.UpstreamRateLimited),
    ("a limit as a type", error(type="RateLimitError"), errors.UpstreamRateLimited),
    ("a limit instead of an object", {"error": 429}, errors.UpstreamRateLimited),
    ("a limit in a sentence", {"error": "Rate limit exceeded"}, errors.UpstreamRateLimited),
    ("a code instead of an object", {"error": "model_not_found"}, errors.UpstreamModelUnknown),
    ("a limit as a status", error(status="RESOURCE_EXHAUSTED"), errors.UpstreamRateLimited),
    ("no credit", error(code="insufficient_quota"), errors.UpstreamQuota),
    ("no credit as a number", error(code=402), errors.UpstreamQuota),
    ("a key as a number", error(code="401"), errors.UpstreamAuth),
    ("a key as a word", error(code="invalid_api_key", type="invalid_request_error"), errors.UpstreamAuth),
    ("a key as a type", error(type="authentication_error"), errors.UpstreamAuth),
    ("too long as a word", error(code="context_length_exceeded"), errors.TooLongForModel),
    ("too long as a type", error(code=400, type="exceed_context_size_error"), errors.TooLongForModel),
    ("a filter", error(code="content_filter"), errors.ContentFiltered),
    ("a filter as a policy", error(code="content_policy_violation", type="invalid_request_error"), errors.ContentFiltered),
    ("a bad request", error(type="BadRequestError", code=400), errors.UpstreamRejected),
    ("a model", error(code="model_not_found"), errors.UpstreamModelUnknown),
    ("time", error(code=408), errors.UpstreamTimeout),
    ("an inner error", {"error": {"message": "wrapped", "error": {"code": "429", "message": SECRET}}}, errors.UpstreamRateLimited),
]  # fmt: skip


def dresses(told: dict[str, Any]) -> list[dict[str, Any] | Replay]:
    inner = told["error"]
    flat = inner if isinstance(inner, dict) else {"message": inner}
    named = Replay(b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n")
    flat_named = Replay(b"event: error\ndata: " + json.dumps(flat).encode() + b"\n\n")
    no_event = Replay(b"error: " + json.dumps(told).encode() + b"\n\n")
    no_field = Replay(json.dumps(told).encode() + b"\n")
    listed = Replay(b"event: error\ndata: [" + json.dumps(told).encode() + b"]\n\n")
    failed = {"type": "response.failed", "response": {"status": "failed", "error": inner}}
    return [
        told,
        {"type": None, **told},
        {"type": "error", **told},
        {"type": "response.error", **told},
        {"object": "error", **flat, "type": flat.get("type") or "api_error"},
        named,
        flat_named,
        no_event,
        no_field,
        listed,
        failed,
        {**failed, "type": "response.completed"},
    ]


@pytest.mark.parametrize(("told", "kind"), [row[1:] for row in IN_A_STREAM], ids=[row[0] for row in IN_A_STREAM])
def test_an_error_inside_of_an_answer_is_what_its_status_would_be(
    upstream: Upstream, told: dict[str, Any], kind: type[errors.ServiceError]
) -> None:
    for dress in dresses(told):
        ending = dress.body if isinstance(dress, Replay) else sse(dress).body
        for beginning, text in ((sse(CREATED), ""), (sse(CREATED, delta("Ro")), "Ro"), (Replay(b""), "")):
            heard = ask(upstream, Replay(beginning.body + ending))
            assert type(heard.failure) is kind, dress
            assert heard.streamed == text
            assert SECRET not in heard.failure.detail


@pytest.mark.parametrize(("told", "kind"), [row[1:] for row in IN_A_STREAM], ids=[row[0] for row in IN_A_STREAM])
def test_so_is_one_in_place_of_a_json_answer(
    upstream: Upstream, told: dict[str, Any], kind: type[errors.ServiceError]
) -> None:
    bodies = [told, [told], {**response(status="failed"), **told}]
    for body in bodies:
        for replay in (whole(body), Replay(json.dumps(body).encode())):
            assert type(ask(upstream, replay).failure) is kind, body


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("engine gone", errors.UpstreamError),
        ('"engine gone"', errors.UpstreamError),
        ("", errors.UpstreamError),
        ("null", errors.UpstreamError),
        ("Too many requests", errors.UpstreamRateLimited),
        ("429", errors.UpstreamRateLimited),
        ("prompt is longer than the context", errors.TooLongForModel),
    ],
)
def test_the_data_of_an_error_need_not_be_json(upstream: Upstream, data: str, kind: type[errors.ServiceError]) -> None:
    told = f"event: error\ndata: {data}\n\n".encode()
    for beginning, text in ((sse(CREATED), ""), (sse(CREATED, delta("Ro")), "Ro"), (Replay(b""), "")):
        heard = ask(upstream, Replay(beginning.body + told))
        assert (type(heard.failure), heard.streamed) == (kind, text)


def test_a_code_may_be_called_a_status_code(upstream: Upstream) -> None:
    for told in (error(status_code=429), error(status_code="429")):
        assert type(ask(upstream, stream(told)).failure) is errors.UpstreamRateLimited


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"code": 429, "message": SECRET}, errors.UpstreamRateLimited),
        ({"status": 503, "message": SECRET}, errors.UpstreamError),
        ({"detail": "Rate limit exceeded"}, errors.UpstreamRateLimited),
        ({"detail": {"error": {"code": "context_length_exceeded"}}}, errors.TooLongForModel),
    ],
)
def test_an_event_without_a_type_may_be_an_error(
    upstream: Upstream, told: dict[str, Any], kind: type[errors.ServiceError]
) -> None:
    for beginning, text in ((sse(CREATED), ""), (sse(CREATED, delta("Ro")), "Ro"), (Replay(b""), "")):
        heard = ask(upstream, Replay(beginning.body + sse(told).body))
        assert (type(heard.failure), heard.streamed) == (kind, text)


def test_a_json_body_may_be_an_error_itself(upstream: Upstream) -> None:
    for told in ({"code": 429, "message": SECRET}, {"status": "429", "message": SECRET}):
        assert type(ask(upstream, whole(told)).failure) is errors.UpstreamRateLimited
    assert type(ask(upstream, whole({"code": 200, "message": SECRET})).failure) is errors.UpstreamInvalidResponse


def test_what_failed_and_reported_its_tokens_is_billed(upstream: Upstream) -> None:
    failed = response(status="failed", usage=USAGE, error={"code": "429", "message": SECRET})
    (billed,) = ask(upstream, stream({"type": "response.failed", "response": failed})).billed
    assert (billed.usage.input_tokens, billed.usage.output_tokens) == (31, 9)
    silent = ask(upstream, stream({"type": "response.failed", "response": {**failed, "usage": None}}))
    assert silent.billed == ()
    assert silent.failure.may_be_billed is False


@pytest.mark.parametrize(
    ("code", "may_be_billed"), [(500, False), ("503", False), (429, False), (502, True), (504, True)]
)
def test_an_error_inside_of_an_answer_costs_what_its_status_would(
    upstream: Upstream, code: Any, may_be_billed: bool
) -> None:
    for replay in (whole(error(code=code)), stream(error(code=code)), whole(error(), int(code))):
        assert ask(upstream, replay).failure.may_be_billed is may_be_billed
    thought = {"type": "response.reasoning_text.delta", "delta": "Hm."}
    assert ask(upstream, stream(thought, error(code=code))).failure.may_be_billed


def test_a_cancelled_response_is_a_failure(upstream: Upstream) -> None:
    for event in ("cancelled", "completed"):
        replay = stream({"type": f"response.{event}", "response": response(status="cancelled")})
        assert type(ask(upstream, replay).failure) is errors.UpstreamError


TOO_LONG: list[tuple[str, int, Any, int | None, int | None]] = [
    ("OpenAI", 400, error(code="context_length_exceeded", param="input", type="invalid_request_error"), None, None),
    (
        "in a sentence",
        400,
        {"error": {"message": "This model's maximum context length is 8192 tokens. However, you requested 9321 tokens (9065 in "
         "the messages, 256 in the completion).", "type": "BadRequestError", "param": None, "code": 400}},
        9321, 8192,
    ),
    ("too many tokens", 400, {"error": {"message": "Too many tokens", "type": "BadRequestError", "code": 400}}, None, None),
    (
        "with fields",
        400,
        {"error": {"code": 400, "message": "request (5210 tokens) exceeds the available context size (4096 tokens), try "
         "increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 5210, "n_ctx": 4096}},
        5210, 4096,
    ),
    (
        "a failure",
        500,
        {"error": {"code": 500, "message": "the request exceeds the available context size. try increasing the context size"}},
        None, None,
    ),
    ("flat", 400, {"object": "error", "message": "prompt is too long: 213,000 tokens > 200,000 maximum"}, 213000, 200000),
    (
        "a gateway",
        400,
        {"error": {"message": "litellm.ContextWindowExceededError: prompt too large", "type": None, "code": "400"}},
        None, None,
    ),
    (
        "another gateway",
        400,
        {"error": {"message": "This endpoint's maximum context length is 32768 tokens. However, you requested about 40111 tokens",
         "code": 400, "metadata": {"provider_name": "x"}}},
        40111, 32768,
    ),
    (
        "the length",
        400,
        {"error": {"code": 400, "type": "BAD_REQUEST", "message": "Input length (7001 tokens) exceeds the maximum allowed length "
         "(4096 tokens)."}},
        7001, 4096,
    ),
    (
        "the length that was passed",
        400,
        {"error": {"code": 400, "type": "BadRequestError", "message": "You passed 7001 input tokens, but the model's context length "
         "is only 4096 tokens"}},
        7001, 4096,
    ),
    (
        "the desktop",
        400,
        {"error": "Trying to keep the first 7001 tokens when context the overflows. However, the model is loaded with context "
         "length of only 4096 tokens"},
        7001, 4096,
    ),
    ("count", 400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count (2100) exceeds the "
                               "maximum number of tokens allowed (2048)."}}], 2100, 2048),
    ("inputs", 422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 1024. Given: 1500 `inputs` tokens"}, 1500, 1024),
    ("text", 400, "input length exceeds maximum context length", None, None),
    (
        "the prompt's length",
        400,
        {"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that "
         "`max_model_len` is large enough", "code": 400}},
        5000, 4096,
    ),
    (
        "the input",
        400,
        {"object": "error", "message": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."},
        5000, 4096,
    ),
    (
        "in total",
        400,
        {"object": "error", "message": "Requested token count exceeds the model's maximum context length of 4096 tokens. You "
         "requested a total of 5000 tokens"},
        5000, 4096,
    ),
    ("fewer", 422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000"}, 5000, 4096),
    ("no room for an answer", 400, {"error": {"message": "max_tokens must be at least 1, got -904.", "code": 400}}, None, None),
    ("an overflow", 400, {"error": "context overflow"}, None, None),
    ("a plain sentence", 400, "The prompt is longer than the context", None, None),
    ("another sentence", 400, {"detail": "Prompt exceeds context"}, None, None),
    ("a short sentence", 400, {"error": {"message": "input too long"}}, None, None),
    ("input tokens", 400, {"error": {"message": "too many input tokens"}}, None, None),
    ("a nested detail", 400, {"detail": {"error": {"code": "context_length_exceeded"}}}, None, None),
    ("a body", 413, "<html>Request Entity Too Large</html>", None, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "size", "limit"), [row[1:] for row in TOO_LONG], ids=[row[0] for row in TOO_LONG]
)
def test_too_long_is_one_error_in_all_dialects(
    upstream: Upstream, status: int, body: Any, size: int | None, limit: int | None
) -> None:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    inside = [stream(body if isinstance(body, dict) else {"error": body})] if status in (400, 500) else []
    for replay in [Replay(text, status, "application/json"), *inside]:
        failure = ask(upstream, replay).failure
        assert type(failure) is errors.TooLongForModel
        assert (failure.code, failure.max_attempts, failure.may_be_billed) == ("too-long-for-model", 1, False)
        numbers = [f"the request has {size:,} tokens"] if size else []
        numbers += [f"the model can read {limit:,}"] if limit else []
        assert failure.detail == "The text is too long for the model" + (f": {', '.join(numbers)}." if numbers else ".")


REFUSED: list[tuple[str, int, Any, type[errors.ServiceError]]] = [
    (
        "Azure's filter",
        400,
        {"error": {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter",
         "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}}},
        errors.ContentFiltered,
    ),
    ("the filter's results", 400, {"error": {"code": "400", "innererror": {"content_filter_result": {"hate": {"filtered": True}}}}}, errors.ContentFiltered),
    ("words about context", 400, {"error": {"message": "unknown field context_management"}}, errors.UpstreamRejected),
    ("tokens of a minute", 400, {"error": {"message": "Too many tokens per minute"}}, errors.UpstreamRejected),
    ("a model without this API", 400, {"error": {"code": "OperationNotSupported", "message": "The responses operation does not work with the specified model"}}, errors.UpstreamMisconfigured),
    ("the inner code", 400, {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, errors.ContentFiltered),
    ("moderation", 403, {"error": {"code": 403, "message": "Your input was flagged by moderation"}}, errors.ContentFiltered),
    ("a policy", 400, error(code="invalid_prompt"), errors.ContentFiltered),
    ("a limit that speaks of tokens", 429, {"error": {"message": "Too many tokens, please wait", "code": 429}}, errors.UpstreamRateLimited),
    ("no credit", 429, error(code="insufficient_quota"), errors.UpstreamQuota),
    ("no credit in words", 400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}, errors.UpstreamQuota),
    ("a limit that speaks of a quota", 429, {"error": {"message": "You exceeded your current quota"}}, errors.UpstreamRateLimited),
    ("a filter that failed", 500, {"error": {"message": "The content filter failed"}}, errors.UpstreamError),
    ("no access", 403, error(code="model_not_found"), errors.UpstreamModelUnknown),
    ("a model in a 400", 400, {"error": {"message": "Invalid model name passed in model=m", "param": "model", "code": "400"}}, errors.UpstreamModelUnknown),
    ("a model that a router has not", 400, {"error": {"message": "m is not a valid model ID", "code": 400}}, errors.UpstreamModelUnknown),
    ("a model that nobody serves", 404, {"error": {"message": "No endpoints found for m.", "code": 404}}, errors.UpstreamModelUnknown),
    ("a model that is not there", 404, {"error": {"message": "model 'm' not found", "type": "not_found_error"}}, errors.UpstreamModelUnknown),
    ("a deployment", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}, errors.UpstreamModelUnknown),
    ("a text", 400, SECRET, errors.UpstreamRejected),
    ("a web page", 502, "<html>model not found</html>", errors.UpstreamError),
    ("nothing", 500, "", errors.UpstreamError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refusal_is_told_by_its_words(
    upstream: Upstream, status: int, body: Any, kind: type[errors.ServiceError]
) -> None:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    failure = ask(upstream, Replay(text, status, "application/json")).failure
    assert type(failure) is kind
    assert SECRET not in failure.detail


OPTIONS: list[tuple[str, int, Any, str]] = [
    ("the parameter", 400, error(param="temperature", type="invalid_request_error", code=None), "temperature"),
    ("its code", 400, error(param="top_p", code="unsupported_parameter"), "topP"),
    ("another name", 400, error(param="max_completion_tokens"), "maxOutputTokens"),
    ("a nested parameter", 422, {"detail": [{"loc": ["body", "temperature"], "msg": SECRET, "type": "less_than"}]}, "temperature"),
    ("a sentence", 400, {"error": {"message": "Unsupported parameter: 'temperature' is not supported with this model."}}, "temperature"),
    ("its name at the end", 400, {"error": {"message": "Unsupported parameter: temperature"}}, "temperature"),
    ("an argument", 400, {"error": {"message": "Unrecognized request argument supplied: top_p"}}, "topP"),
    ("its name at the beginning", 400, {"error": {"message": "temperature is not supported by this model"}}, "temperature"),
    ("its name within", 400, {"error": {"message": "The model does not support temperature"}}, "temperature"),
    ("its only value", 400, {"error": {"message": "temperature must be 1"}}, "temperature"),
    ("a gateway", 400, {"error": {"message": "litellm.UnsupportedParamsError: m don't support temperature=0.3", "code": "400"}}, "temperature"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "option"), [row[1:] for row in OPTIONS], ids=[row[0] for row in OPTIONS])
def test_an_option_that_the_model_does_not_take_is_named_as_the_templates(
    upstream: Upstream, status: int, body: Any, option: str
) -> None:
    inside = stream(
        {**body, "type": "error"} if "error" in body else {"type": "error", "error": {"code": status, **body}}
    )
    for replay in (whole(body, status), inside):
        failure = ask(upstream, replay).failure
        assert type(failure) is errors.UpstreamRejected
        assert f"the template's option {option}," in failure.detail
        assert "model.options" in failure.detail


def test_a_word_of_the_prompt_is_no_option(upstream: Upstream) -> None:
    failure = ask(
        upstream, whole({"error": {"message": "bad input: what temperature has the sea", "code": 400}}, 400)
    ).failure
    assert failure.detail == "The model provider rejected the request."


def test_a_model_without_schemas_is_named_as_such(upstream: Upstream) -> None:
    for param in ("text.format", "text.format.schema", "response_format"):
        failure = ask(upstream, whole(error(param=param), 400)).failure
        assert "JSON schema" in failure.detail


KIND_CHAT = "kind: chat"
BASE_URL = "OPENAI_BASE_URL"
CHUNK = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Rome."}}]}
COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"message": {"role": "assistant", "content": "Rome."}}],
}
FOREIGN: list[tuple[str, Replay, list[str]]] = [
    ("chunks", sse(CHUNK, CHUNK, "[DONE]"), [KIND_CHAT]),
    ("chunks without a name", sse({"choices": [{"delta": {}}]}), [KIND_CHAT]),
    ("a completion", whole(COMPLETION), [KIND_CHAT]),
    ("an old completion", whole({"object": "text_completion", "choices": [{"text": "Rome."}]}), [KIND_CHAT]),
    ("a web page", Replay(b"<!doctype html><title>Chat</title>", media="text/html"), ["a web page", BASE_URL, "/v1"]),
    ("a web page without a type", Replay(b"\n <html></html>", media=""), ["a web page", BASE_URL]),
    ("a greeting", Replay(b"The server is running", media="text/plain"), ["text/plain", BASE_URL]),
    ("nothing", Replay(b"", media=""), ["an empty body", BASE_URL]),
    ("nothing in place of JSON", Replay(b"", media="application/json"), ["an empty body", BASE_URL]),
    ("lines of JSON after a comment", Replay(b': hello\n{"message": "R"}\n{"done": true}\n'), [BASE_URL]),
    ("lines of JSON", Replay(b'{"message": {"content": "R"}}\n{"done": true}\n', media="application/x-ndjson"), ["ndjson", BASE_URL]),
    ("an empty stream", Replay(b""), [BASE_URL]),
    ("pings", sse({"type": "ping"}, "[DONE]"), [BASE_URL]),
    ("another stream", sse({"text": "Rome."}, {"text": "!"}), [BASE_URL]),
    ("other JSON", whole({"status": "ok"}), [BASE_URL]),
    ("a list", whole([1]), [BASE_URL]),
    ("null", whole(None), [BASE_URL]),
    ("a response that has only begun", whole(response(status="in_progress")), [BASE_URL]),
    ("405", whole({"detail": "Method Not Allowed"}, 405), [KIND_CHAT, BASE_URL, "/v1"]),
    ("404 in JSON", whole({"detail": "Not Found"}, 404), [KIND_CHAT, BASE_URL, "/v1"]),
    ("404 in text", Replay(b"404 page not found", 404, "text/plain"), [KIND_CHAT, BASE_URL, "/v1"]),
    ("404 in a page", Replay(b"<html>no such model page</html>", 404, "text/html"), [KIND_CHAT, BASE_URL]),
    ("404 with an error", whole({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, 404), [KIND_CHAT]),
    ("501", Replay(b"", 501, ""), [KIND_CHAT]),
    ("200 with an error", whole({"error": "Unexpected endpoint or method. (POST /responses)"}), [KIND_CHAT, BASE_URL]),
    ("an URL", whole({"error": {"message": "Invalid URL (POST /responses)", "type": "invalid_request_error"}}, 404), [KIND_CHAT]),
]  # fmt: skip


@pytest.mark.parametrize(("replay", "words"), [row[1:] for row in FOREIGN], ids=[row[0] for row in FOREIGN])
def test_a_foreign_dialect_says_what_to_set_and_is_tried_once(
    upstream: Upstream, replay: Replay, words: list[str]
) -> None:
    failure = ask(upstream, replay).failure
    assert type(failure) in (errors.UpstreamInvalidResponse, errors.UpstreamMisconfigured)
    assert (failure.max_attempts, failure.may_be_billed) == (1, False)
    for word in words:
        assert word in failure.detail


def test_what_stops_after_an_event_of_ours_is_cut_off(upstream: Upstream) -> None:
    for replay in (sse(CREATED, "[DONE]"), sse(delta("Ro"))):
        assert type(ask(upstream, replay).failure) is errors.UpstreamTruncated


NO_REASON = {"type": "response.failed", "response": response(status="failed", error=None)}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([{"type": "error", "error": {"code": "rate_limit_exceeded"}}], errors.UpstreamRateLimited),
        ([{"type": "error", "code": "429", "message": SECRET}], errors.UpstreamRateLimited),
        ([CREATED, {"error": {"code": "insufficient_quota"}}], errors.UpstreamQuota),
        ([], errors.UpstreamError),
        (["neither JSON nor an event"], errors.UpstreamError),
    ],
)
@pytest.mark.parametrize("piece_bytes", [0, 7])
def test_the_reason_of_a_failure_may_come_after_it(
    upstream: Upstream, after: list[Any], expected: type[errors.ServiceError], piece_bytes: int
) -> None:
    heard = ask(upstream, sse(CREATED, NO_REASON, *after).in_pieces(piece_bytes))
    assert type(heard.failure) is expected
    assert [billed.usage.input_tokens for billed in heard.billed] == [USAGE["input_tokens"]]


def test_the_reason_of_a_failure_is_not_waited_for_without_end(upstream: Upstream) -> None:
    heard = ask(upstream, replace(sse(CREATED, NO_REASON), holds=True))
    assert type(heard.failure) is errors.UpstreamError
