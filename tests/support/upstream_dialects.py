"""The wire formats of the test provider: each says the same script, written with the events of the Responses API.

`DIALECTS` has one for each path. A dialect belongs to one answer.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Dialect(Protocol):
    """One wire format."""

    def as_responses(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request as the Responses API would have it."""
        ...

    def framed(self, event: dict[str, Any]) -> bytes:
        """The bytes of an event; empty if this wire format has none of the kind."""
        ...

    def body(self, response: dict[str, Any]) -> dict[str, Any]:
        """The whole answer as one JSON body."""
        ...

    def other(self) -> "Dialect":
        """The other wire format, which who speaks this one cannot read."""
        ...


class ResponsesDialect:
    """The Responses API: what a script says is what is sent."""

    def as_responses(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def framed(self, event: dict[str, Any]) -> bytes:
        return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()

    def body(self, response: dict[str, Any]) -> dict[str, Any]:
        return response

    def other(self) -> Dialect:
        return ChatDialect()


class ChatDialect:
    """Chat completions. Usage is sent as asked: in a last chunk without choices."""

    def __init__(self) -> None:
        self._model = ""
        self._includes_usage = False
        self._said_something = False

    def as_responses(self, body: dict[str, Any]) -> dict[str, Any]:
        self._model = str(body.get("model", ""))
        self._includes_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        texts = {
            role: "\n\n".join(_content(message) for message in body.get("messages", []) if message["role"] == role)
            for role in ("system", "user")
        }
        wanted = body.get("response_format") or {}
        asked = {"model": self._model, "input": texts["user"], "stream": body.get("stream", False)}
        if texts["system"]:
            asked["instructions"] = texts["system"]
        if wanted.get("type") == "json_schema":
            asked["text"] = {"format": {"type": "json_schema", **wanted["json_schema"]}}
        return asked

    def framed(self, event: dict[str, Any]) -> bytes:
        return b"".join(_data(chunk) for chunk in self._chunks(event))

    def body(self, response: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "message": _message(response), "logprobs": None, "finish_reason": _finish(response)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(response)}

    def other(self) -> Dialect:
        return ResponsesDialect()

    def _chunks(self, event: dict[str, Any]) -> Iterable[dict[str, Any] | str]:
        kind, response = event["type"], event.get("response")
        if kind == "response.created":
            yield self._choice({"role": "assistant", "content": "", "refusal": None})
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            self._said_something = True
            yield self._choice({"content" if kind == "response.output_text.delta" else "refusal": event["delta"]})
        elif kind in ("response.completed", "response.incomplete") and response:
            yield from self._last(response)
        elif kind == "response.failed" and response:
            yield {**self._head(), "choices": [], "error": response["error"], "usage": _usage(response)}
        elif kind == "error":
            yield {"error": event.get("error") or {name: event.get(name) for name in ("code", "message")}}
        elif kind == "response.of_the_future":
            yield {"object": "chat.completion.of_the_future", "delta": event["delta"]}

    def _last(self, response: dict[str, Any]) -> Iterable[dict[str, Any] | str]:
        last = self._choice({}, _finish(response))
        if not self._said_something and response["output"]:
            # Some servers send no deltas, but the whole message.
            last["choices"][0] = {"index": 0, "message": _message(response), "finish_reason": _finish(response)}
        yield last
        if self._includes_usage:
            yield {**self._head(), "choices": [], "usage": _usage(response)}
        yield "[DONE]"

    def _choice(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head(), "choices": [choice], **({"usage": None} if self._includes_usage else {})}

    def _head(self, kind: str = "chat.completion.chunk") -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": self._model}


def _data(chunk: dict[str, Any] | str) -> bytes:
    return f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode()


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _message(response: dict[str, Any]) -> dict[str, Any]:
    parts = [part for item in response["output"] for part in item.get("content", [])]
    texts = [part["text"] for part in parts if "text" in part]
    refusals = [part["refusal"] for part in parts if "refusal" in part]
    return {"role": "assistant", "content": "".join(texts) or None, "refusal": "".join(refusals) or None}


def _finish(response: dict[str, Any]) -> str:
    reason = (response.get("incomplete_details") or {}).get("reason")
    return {None: "stop", "max_output_tokens": "length"}.get(reason, str(reason))


def _usage(response: dict[str, Any]) -> Any:
    """With the names of chat completions."""
    usage = response.get("usage")
    if not isinstance(usage, Mapping):
        return usage
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "input_tokens_details": "prompt_tokens_details",
        "output_tokens_details": "completion_tokens_details",
    }
    return {names.get(name, name): value for name, value in usage.items()}


DIALECTS: dict[str, type[ResponsesDialect] | type[ChatDialect]] = {
    "/v1/responses": ResponsesDialect,
    "/v1/chat/completions": ChatDialect,
    "/openai/v1/responses": ResponsesDialect,  # Azure
}
