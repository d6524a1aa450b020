"""The model provider of all measurements: so cheap that it leaves the cores to what is measured.

    python -m bench.upstream PORT

It answers POST /v1/responses and POST /v1/chat/completions, with JSON or, if the request has `"stream": true`, with
events. A marker anywhere in the request says how, for example `@@tok=50,tps=20,delay=5,tag=a17@@`:

    tok    how many tokens (60)
    tps    tokens per second of an event stream (0: as fast as possible; each token is a write of its own, as servers do)
    delay  seconds before the first byte (0)
    tag    the first word of the answer, which tells the answers apart (word0)

GET /stats tells how many calls there were, and how many are active.

The protocol is written on asyncio's own: no request is parsed as JSON, and all events of an answer are made once.
"""

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from functools import lru_cache

from bench.rig import raise_file_limit

TAG = "word0"
MARKER = re.compile(rb"@@([a-z0-9=.,#]+)@@")
STREAM = re.compile(rb'"stream": ?true')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"


def answer_text(tokens: int = 60, tag: str = TAG) -> str:
    return " ".join([tag, *(f"word{number}" for number in range(1, tokens))]) + " "


@dataclass(frozen=True)
class Wish:
    """What a marker asks for; `delay` in seconds, `tps` in tokens per second."""

    tok: int = 60
    tps: float = 0.0
    delay: float = 0.0
    tag: str = TAG

    @classmethod
    def of(cls, request: bytes) -> "Wish":
        found = MARKER.search(request)
        given = dict(pair.split("=") for pair in found[1].decode().split(",")) if found else {}
        return cls(
            int(given.get("tok", 60)), float(given.get("tps", 0)), float(given.get("delay", 0)), given.get("tag", TAG)
        )


@dataclass(frozen=True)
class Script:
    """The parts of an answer; the tag is in the first token and in the closing events."""

    opening: bytes
    tokens: tuple[bytes, ...]
    closing: bytes
    whole: bytes


@lru_cache(maxsize=64)
def script(path: str, tokens: int) -> Script:
    return (_chat if path == CHAT else _responses)(answer_text(tokens), tokens)


def _responses(text: str, tokens: int) -> Script:
    def event(kind: str, number: int, **more: object) -> bytes:
        data = json.dumps({"type": kind, "sequence_number": number, **more})
        return f"event: {kind}\ndata: {data}\n\n".encode()

    usage = {
        "input_tokens": 90,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 90 + tokens,
    }
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [content]}
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-4o-mini",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
    }
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    opening = [
        event("response.created", 0, response=begun),
        event("response.output_item.added", 1, output_index=0, item={**item, "status": "in_progress", "content": []}),
    ]
    deltas = [
        event("response.output_text.delta", 2 + number, **place, delta=f"{word} ", logprobs=[])
        for number, word in enumerate(text.split())
    ]
    closing = [
        event("response.output_text.done", tokens + 2, **place, text=text, logprobs=[]),
        event("response.output_item.done", tokens + 3, output_index=0, item=item),
        event("response.completed", tokens + 4, response=whole),
    ]
    return Script(b"".join(opening), tuple(deltas), b"".join(closing), json.dumps(whole).encode())


def _chat(text: str, tokens: int) -> Script:
    same = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini"}

    def event(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**same, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()

    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 90, "completion_tokens": tokens, "total_tokens": 90 + tokens}
    whole = {**same, "object": "chat.completion", "choices": [message], "usage": usage}
    return Script(
        event({"role": "assistant", "content": ""}),
        tuple(event({"content": f"{word} "}) for word in text.split()),
        event({}, "stop") + b"data: [DONE]\n\n",
        json.dumps(whole).encode(),
    )


class Counts:
    calls = 0
    active = 0


class Connection(asyncio.Protocol):
    """One connection; its requests come one after another."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.loop = asyncio.get_running_loop()
        self.received = b""
        self.busy = False
        self.timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._end()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if found and len(body) >= (int(length[1]) if length else 0):
            self.received = b""
            self._serve(head.split(b" ", 2)[1].decode(), body)

    def _serve(self, path: str, body: bytes) -> None:
        if path not in (RESPONSES, CHAT):
            self._send_json(json.dumps({"calls": self.counts.calls, "active": self.counts.active}).encode())
            return
        self.counts.calls += 1
        self.counts.active += 1
        self.busy = True
        wish = Wish.of(body)
        send = self._send_events if STREAM.search(body) else self._send_whole
        if wish.delay:
            self.timer = self.loop.call_later(wish.delay, send, path, wish)
        else:
            send(path, wish)

    def _send_whole(self, path: str, wish: Wish) -> None:
        self._send_json(_tagged(script(path, wish.tok).whole, wish))
        self._end()

    def _send_json(self, data: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
        self.transport.write(head + data)

    def _send_events(self, path: str, wish: Wish) -> None:
        parts = script(path, wish.tok)
        self.transport.write(EVENTS_HEAD + _chunk(parts.opening))
        self._send_token(parts, wish, 0, self.loop.time())

    def _send_token(self, parts: Script, wish: Wish, number: int, begun: float) -> None:
        if number == len(parts.tokens):
            self.transport.write(_chunk(_tagged(parts.closing, wish)) + b"0\r\n\r\n")
            self._end()
            return
        token = parts.tokens[number]
        self.transport.write(_chunk(token if number else _tagged(token, wish)))
        number += 1
        if wish.tps and number < len(parts.tokens):
            self.timer = self.loop.call_at(begun + number / wish.tps, self._send_token, parts, wish, number, begun)
        else:
            self.timer = self.loop.call_soon(self._send_token, parts, wish, number, begun)

    def _end(self) -> None:
        """The call is over; its client may have left before."""
        self.counts.active -= self.busy
        self.busy = False


def _tagged(data: bytes, wish: Wish) -> bytes:
    return data if wish.tag == TAG else data.replace(TAG.encode(), wish.tag.encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(port: int) -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(counts), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(serve(int(sys.argv[1])))
