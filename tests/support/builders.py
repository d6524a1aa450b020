"""Generations and cached answers for tests."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from llm_service.core.clock import HOUR_MS
from llm_service.core.generation.model import CachedAnswer, Generation, Status
from llm_service.core.messages import Message, Messages, Role
from llm_service.core.usage.tokens import NO_TOKENS, Usage

USAGE = Usage(10, 20, 30, 4, 5)
MORNING = 19_000 * 24 * HOUR_MS


def messages_of(system: str, user: str) -> Messages:
    """As templates render them; an empty system prompt is no message."""
    texts = ((Role.SYSTEM, system), (Role.USER, user))
    return tuple(Message.of(role, text) for role, text in texts if text or role is Role.USER)


def generation(number: int, owner: str = "alice", **more: Any) -> Generation:
    made = Generation(
        request_id=f"id-{number}",
        answer_id=f"id-{number}",
        owner=owner,
        template_id="basic_chat_v1",
        template_revision="0123456789ab",
        model="gpt-4o-mini",
        provider="openai",
        status=Status.RUNNING,
        cached=False,
        snippet=f"input {number}",
        usage=Usage(),
        cost_usd=None,
        saved_usd=None,
        latency_ms=None,
        created_ms=1_700_000_000_000 + number,
        input=f"input {number}",
        parameters={"tone": "simple"},
        messages=messages_of("system", f"user {number}"),
        cache_key="k" * 64,
        attempts=1,
    )
    return replace(made, **more)


def completed(made: Generation, **more: Any) -> Generation:
    done = replace(
        made, status=Status.COMPLETED, output="out", usage=Usage(1, 2, 3, 0, None), latency_ms=5, finished_ms=9
    )
    return replace(done, **more)


def paid(number: int, **more: Any) -> Generation:
    made = generation(number, created_ms=MORNING)
    known: dict[str, Any] = {
        "usage": USAGE,
        "billed": USAGE,
        "cost_usd": Decimal("0.5"),
        "saved_usd": Decimal(0),
        "latency_ms": 700,
    }
    return completed(made, **{**known, **more})


def spared(number: int, **more: Any) -> Generation:
    """A hit; with `cached=False`, one that shared a call."""
    known: dict[str, Any] = {"attempts": 0, "billed": NO_TOKENS, "cost_usd": Decimal(0), "saved_usd": Decimal("0.5")}
    return paid(number, **{**known, "cached": True, "latency_ms": 1, **more})


def answer(owner: str = "local", output: str = "text") -> CachedAnswer:
    return CachedAnswer(owner, "id", "input", {"a": 1}, output, "model", Usage(1, None, 3))
