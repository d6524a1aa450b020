"""What servers report of tokens and of cost."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_api.usage import known_counts, reported_cost
from llm_service.adapters.providers.openai_api.wire import Wire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.errors import UpstreamError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, ProviderCall, ProviderEvent
from llm_service.core.usage.tokens import NO_TOKENS, Usage
from tests.support.builders import messages_of
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay, sse


@pytest.mark.parametrize(
    ("usage", "text", "reasoned", "known"),
    [
        (NO_TOKENS, True, False, Usage()),
        (NO_TOKENS, False, False, NO_TOKENS),
        (NO_TOKENS, False, True, Usage()),
        (Usage(20, 0, 20, 0, 0), True, False, Usage(20, None, 20, 0, None)),
        (Usage(0, 5, 5, 0, 0), True, False, Usage(None, 5, 5, None, 0)),
        (Usage(20, 5, 0, 0, 0), True, False, Usage(20, 5, None, 0, 0)),
        (Usage(20, 40, 60, 0, 0), True, True, Usage(20, 40, 60, 0, None)),
        (Usage(20, 40, 60, 4, 30), True, True, Usage(20, 40, 60, 4, 30)),
    ],
)
def test_a_zero_that_cannot_be_true_is_unknown(usage: Usage, text: bool, reasoned: bool, known: Usage) -> None:
    assert known_counts(usage, text=text, reasoned=reasoned) == known


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 0.1}, "0.1"),
        ({"cost": 0}, "0"),
        ({"cost": 1.2e-7}, "0.00000012"),
        ({"cost": 2}, "2"),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.003}}, "0.003"),
        ({"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": 9}}, "0.01"),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, "0.21"),
        ({"cost": 0.01, "is_byok": True}, None),
        ({"cost": None}, None),
        ({"cost": "0.1"}, None),
        ({"cost": True}, None),
        ({"cost": -0.1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": float("inf")}, None),
        ({"cost": 1e300}, None),
        ({"cost": 10**400}, None),
        ({"cost": []}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_cost_is_used_if_it_is_an_amount(usage: object, cost: str | None) -> None:
    assert reported_cost(usage) == (None if cost is None else Decimal(cost))


@pytest.fixture(name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def failed_response(usage: dict[str, Any]) -> Replay:
    counts = {"input_tokens": usage["into"], "output_tokens": usage["out"], **usage}
    response = {"status": "failed", "error": {"code": "server_error"}, "usage": counts}
    delta = {"type": "response.output_text.delta", "delta": "Lis"}
    return sse(delta, {"type": "response.failed", "response": response})


def failed_chat(usage: dict[str, Any]) -> Replay:
    counts = {"prompt_tokens": usage["into"], "completion_tokens": usage["out"], **usage}
    delta = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Lis"}}]}
    return sse(delta, {"choices": [], "usage": counts}, {"error": {"code": 500, "message": "failed"}})


@pytest.mark.parametrize(("wire", "failed"), [(ResponsesWire(), failed_response), (ChatWire(), failed_chat)])
@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        ({"into": 0, "out": 0}, []),
        ({"into": 20, "out": 0}, [Billed(Usage(20))]),
        ({"into": 20, "out": 2, "cost": 0.25}, [Billed(Usage(20, 2), Decimal("0.25"))]),
    ],
)
def test_zeros_of_a_failure_after_text_are_no_report(
    upstream: Upstream, wire: Wire, failed: Any, usage: dict[str, Any], billed: list[Billed]
) -> None:
    """If they were, the attempt would be charged nothing although a model worked for it."""
    upstream.replays["m"] = failed(usage)
    provider = ApiProvider(wire, api_key=None, base_url=upstream.base_url, idle_timeout_s=60)
    call = ProviderCall("m", messages_of("", "Where?"), {})
    events = list[ProviderEvent]()
    with pytest.raises(UpstreamError):
        events.extend(provider.stream(call, CallContext(time.monotonic() + 60, SystemClock())))
    provider.close()
    assert [event for event in events if isinstance(event, Billed)] == billed
