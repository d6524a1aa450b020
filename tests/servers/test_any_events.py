"""Events in any order, with any values: what a stream shows is the answer, wherever the body is cut, and nothing breaks."""

import json
import random
from typing import Any

import pytest

from llm_service.adapters.providers.openai_api.quirks import Quirks
from llm_service.core.errors import ServiceError
from tests.servers.asking import ask
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay, sse

VALUES = [None, "a", "b", 3, [], {}, "txt", "", True, 0, "x\ud800", {"text": 1}, [None]]
TYPES = [
    *["response.output_text.delta"] * 5,
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.done",
    "response.content_part.done",
    "response.refusal.done",
    "response.refusal.delta",
    "response.reasoning_text.delta",
    "response.of_the_future",
    "ping",
]


def some_item(dice: random.Random) -> dict[str, Any]:
    part = {"type": dice.choice(["output_text", "reasoning_text", None]), "text": dice.choice(VALUES)}
    content = [dice.choice(VALUES), [part], [{"type": "refusal", "refusal": dice.choice(VALUES)}]]
    return {
        "id": dice.choice(["a", "b", "c", None, ["a"]]),
        "type": dice.choice(["message", "message", "reasoning", "function_call", None, 5]),
        "status": dice.choice(["completed", "incomplete", None]),
        "content": dice.choice(content),
    }


def some_event(dice: random.Random) -> dict[str, Any]:
    event = {
        "item_id": dice.choice([None, "a", "b", "c"]),
        "output_index": dice.choice([None, 0, 1, 2]),
        "delta": dice.choice(["he", "llo", " ", "", "<think>", "</think>"]),
        "text": dice.choice(VALUES),
        "item": dice.choice([some_item(dice), dice.choice(VALUES)]),
        "part": dice.choice([None, {"type": "output_text", "text": dice.choice(VALUES)}, dice.choice(VALUES)]),
    }
    return {"type": dice.choice(TYPES), **{name: value for name, value in event.items() if dice.random() < 0.9}}


def some_end(dice: random.Random) -> dict[str, Any]:
    response = {
        "status": dice.choice(["completed", "incomplete", None, 3]),
        "output": dice.choice([[some_item(dice) for _ in range(dice.randint(0, 3))], dice.choice(VALUES)]),
        "usage": dice.choice([None, {"output_tokens": 3}, 4]),
        "incomplete_details": dice.choice([None, {}, {"reason": dice.choice(VALUES)}, 3]),
        "model": dice.choice(VALUES),
    }
    return {"type": dice.choice(["response.completed", "response.incomplete", "response.failed"]), "response": response}


def thoughts_may_have_been_shown(events: list[dict[str, Any]], end: dict[str, Any]) -> bool:
    """Whether an item says at its end that it is no message, although text with its id may have come before."""
    output = end["response"]["output"]
    ended = [event.get("item") for event in events if event["type"] == "response.output_item.done"]
    items = [item for item in [*ended, *(output if isinstance(output, list) else [])] if isinstance(item, dict)]
    of_text = [event.get("item_id") for event in events] + [item.get("id") for item in ended if isinstance(item, dict)]
    return any(item.get("type") not in ("message", None) and item.get("id") in of_text for item in items)


@pytest.mark.parametrize("seed", range(150))
def test_the_stream_is_the_answer(upstream: Upstream, seed: int) -> None:
    dice = random.Random(seed)
    events = [some_event(dice) for _ in range(dice.randint(0, 9))]
    quirks = Quirks(strip_think=dice.random() < 0.3)
    end = some_end(dice)
    replay = sse(*events, end)
    heard, in_pieces = ask(upstream, replay, quirks=quirks), ask(upstream, replay.in_pieces(5), quirks=quirks)
    if heard.done is not None:
        assert heard.streamed == heard.done.text or thoughts_may_have_been_shown(events, end)
        assert in_pieces.answer.text == heard.done.text
        assert (in_pieces.answer.status, in_pieces.answer.usage) == (heard.done.status, heard.done.usage)
    else:
        assert type(in_pieces.failure) is type(heard.failure)
    assert in_pieces.streamed == heard.streamed


@pytest.mark.parametrize("seed", range(150))
def test_any_error_is_one_of_ours(upstream: Upstream, seed: int) -> None:
    dice = random.Random(seed)

    def some_error(depth: int) -> Any:
        if not depth or dice.random() < 0.3:
            return dice.choice([*VALUES, 429, "503", float("inf"), 10**400, "too many tokens", "9" * 50])
        names = ["error", "code", "type", "status", "message", "detail", "param", "innererror", "n_ctx", "loc", "msg"]
        return dice.choice([{name: some_error(depth - 1) for name in dice.sample(names, 4)}, [some_error(depth - 1)]])

    body = json.dumps(some_error(4)).encode()
    failures = [
        ask(upstream, Replay(body, dice.choice([400, 401, 404, 422, 429, 500, 503]), "application/json")).failure,
        ask(upstream, Replay(b'data: {"type": "error", "error": ' + body + b"}\n\n")).failure,
    ]
    for failure in failures:
        assert isinstance(failure, ServiceError)
        assert failure.code != ServiceError.code
