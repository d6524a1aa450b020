"""Builds the items and the events that servers send, so that tests show only what is special about them."""

from typing import Any

from tests.support.upstream_replay import Replay, sse, whole

USAGE = {"input_tokens": 31, "output_tokens": 9, "total_tokens": 40}
CREATED = {"type": "response.created", "response": {"id": "resp_7", "status": "in_progress", "output": []}}


def message(*texts: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts, **more}


def reasoning(text: str, part: str = "reasoning_text", **more: Any) -> dict[str, Any]:
    return {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": part, "text": text}], **more}


def response(*items: Any, status: str = "completed", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_7",
        "object": "response",
        "status": status,
        "model": "m",
        "output": list(items),
        "usage": usage,
        **more,
    }


def last(*items: Any, event: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{event}", "response": response(*items, **more)}


def delta(text: str, item_id: str | None = None, index: int | None = None) -> dict[str, Any]:
    names = {"item_id": item_id, "output_index": index}
    known = {name: value for name, value in names.items() if value is not None}
    return {"type": "response.output_text.delta", "delta": text, **known}


def added(item: dict[str, Any], index: int | None = None) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}


def ended(item: dict[str, Any], index: int | None = None) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def stream(*events: Any) -> Replay:
    return sse(CREATED, *events, "[DONE]")


def both_forms(*items: Any, **more: Any) -> list[Replay]:
    """The same response as the last event of a stream without deltas, and as one JSON body."""
    return [stream(last(*items, **more)), whole(response(*items, **more))]
