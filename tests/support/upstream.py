"""A model provider to test against: a real HTTP server, scripted by the model's name.

It speaks the Responses API at `/v1/responses`, and chat completions at `/v1/chat/completions`, with the same models. Each
script is written once, with the events of the Responses API; `upstream_dialects.py` says them in the wire format of the
request.

    python -m tests.support.upstream --port 9999

Any model that is not in the tables below answers normally: `Answer to: <input>`, word by word, with words as tokens; or
with JSON of the schema that was asked for.

    slow-SECONDS            waits before the first byte of the body
    tokens-N-PER_SECOND     N deltas at that pace
    echo-PER_SECOND         the normal answer, word by word at that pace; its end waits for `may_end`
    json-other              JSON of another schema             json-cut         the first half of the right JSON
    json-nan                NaN as the first value             json-surrogate   half a surrogate pair as the first value
    retry-after-SECONDS     429 with that Retry-After, and an answer to the next call
    loading-N               503 `Loading model` to the first N calls, and answers to the others
    fault-STATUS            that HTTP status: 400 401 403 404 408 422 429 500 502 503 529
    fault-429-plain         429 without Retry-After            fault-429-date   Retry-After as a date
    fault-quota             429 insufficient_quota             fault-too-long   400 context_length_exceeded
    fault-redirect          307 to the path /elsewhere         fault-reset      RST before any byte
    fault-empty             closes without a byte              fault-hang       never answers
    fault-slow-headers      one byte of the headers at a time
    fault-hang-after-3      three deltas, then silence         fault-drip       after a delta, a byte each 0.1 s
    fault-eof-at-start      closes after the first event
    fault-eof-after-3       closes the connection              fault-rst-after-3  resets it
    fault-garbage-after-3   sends what is neither TLS nor HTTP
    fault-eof-mid-event     closes inside an event             fault-no-terminal  ends well, without a last event
    fault-incomplete        max_output_tokens                  fault-content-filter
    fault-failed            response.failed                    fault-failed-rate-limit
    fault-failed-quota      fault-failed-too-long
    fault-failed-usage      response.failed with usage
    once-failed             the same, and an answer to the next call with that input
    fault-error-event       an `error` event                   fault-error-nested
    fault-refusal           a refusal                          fault-unknown-events  a few more than anyone knows
    fault-bad-json-event    fault-json-null  fault-json-list  fault-json-broken  fault-html
    fault-other-api         a stream of the other API          fault-other-api-json  the same, as one JSON body
    fault-no-events         a stream without events
    fault-json-body         one JSON body although a stream was asked for
    fault-huge              3 MiB of text                      fault-long-line  a line of 17 MiB
    fault-no-usage  fault-bad-usage  fault-no-usage-details
    fault-bom               a byte order mark, then the stream fault-json-bom   the same, as one JSON body
    fault-nul               NUL and half a surrogate pair      fault-no-deltas  the text only in the last event
    replay-SERVER-CASE      what another server sent, from a file; see upstream_replay.py

Longer than other modules: all that a model of it can do is in one place.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any, Self

from tests.support.upstream_dialects import DIALECTS, Dialect, ResponsesDialect
from tests.support.upstream_replay import Replay, replay_of

BOM = b"\xef\xbb\xbf"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Hangup(Exception):
    """Close the connection as it is; `reset` sends RST."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset


class Upstream:
    """The server in a thread of its own; `with Upstream() as upstream: upstream.base_url`.

    `calls` has each request's body, headers and the port that it came from, in order, `connections` how many were accepted, `open_connections` how many
    are open now, `ledger` the usage that it reported, one entry for each answer or failure that had any. `replays` are
    answers for models of a test's own. While `may_end` is not set, answers at a pace do not end. While `counts` is set, each
    of these begins with the number of the call, so that no two are equal.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.replays: dict[str, Replay] = {}
        self.may_end = threading.Event()
        self.may_end.set()
        self.counts = False
        self.connections = 0
        self.open_connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    def calls_of(self, model: str) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["body"].get("model") == model]

    def _times_asked(self, body: dict[str, Any]) -> int:
        return sum(call["body"] == body for call in self.calls)

    async def _start(self) -> asyncio.Server:
        def connection() -> asyncio.StreamReaderProtocol:
            reader = _Reader()
            return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._serve(reader, writer))

        return await self._loop.create_server(connection, "127.0.0.1", self._port, backlog=4096, ssl=self._tls)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: "_Reader", writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                self.calls.append({**request, "peer": writer.get_extra_info("peername")[1]})
                await self._answer(request, reader, writer)
        except Hangup as hangup:
            if hangup.reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server goes
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, request: dict[str, Any], reader: "_Reader", writer: asyncio.StreamWriter) -> None:
        """Write the scripted answer; a client that leaves meanwhile ends it."""
        model = str(request["body"].get("model", ""))
        again = model.startswith(("retry-after-", "once-")) and self._times_asked(request["body"]) % 2 == 0
        if model.startswith("loading-"):
            again = len(self.calls_of(model)) > int(model.removeprefix("loading-"))
        if (replay := self.replays.get(model) or replay_of(model)) is not None:
            await _send_replay(replay, reader, writer)
            return
        number = len(self.calls) if self.counts else None
        script = _Script(request, writer, self.ledger, self.may_end, again=again, number=number)
        answering = asyncio.ensure_future(script.run())
        leaving = asyncio.ensure_future(reader.left.wait())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise Hangup
            await answering
        finally:
            answering.cancel()
            leaving.cancel()


async def _send_replay(replay: Replay, reader: "_Reader", writer: asyncio.StreamWriter) -> None:
    writer.write(replay.head)
    for piece in replay.pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    if replay.holds:
        await reader.left.wait()
        raise Hangup
    writer.write(b"0\r\n\r\n")
    await writer.drain()


class _Reader(asyncio.StreamReader):
    """Tells when the other side has closed, also while nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.left.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.left.set()


async def _read_request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if value}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return {"method": method, "path": path, "headers": headers, "body": json.loads(body or b"{}")}


def asked_of(body: dict[str, Any]) -> str:
    """The texts of the messages of a call."""
    messages = body.get("input", "")
    return messages if isinstance(messages, str) else "\n\n".join(message["content"] for message in messages)


def _text(body: dict[str, Any], model: str) -> str:
    wanted = body.get("text", {}).get("format", {})
    if wanted.get("type") != "json_schema":
        return f"Answer to: {asked_of(body)}"
    value = _instance(wanted["schema"])
    first = next(iter(value))
    if model == "json-other":
        return json.dumps({"other": value})
    if model in ("json-nan", "json-surrogate"):
        return json.dumps({**value, first: float("nan") if model == "json-nan" else "\ud800"})
    text = json.dumps(value, indent=1)
    return text[: len(text) // 2] if model == "json-cut" else text


def _instance(schema: dict[str, Any]) -> Any:
    """The plainest value of a strict schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if kind == "object":
        return {name: _instance(schema["properties"][name]) for name in schema["required"]}
    if kind == "array":
        return [_instance(schema["items"])] * max(1, schema.get("minItems", 0))
    number = schema.get("minimum", 0)
    return {"string": "some words", "integer": number, "number": number + 0.5, "boolean": True}[kind]


class _Script:
    """One answer."""

    def __init__(
        self,
        request: dict[str, Any],
        writer: asyncio.StreamWriter,
        ledger: list[dict[str, Any]],
        may_end: threading.Event,
        *,
        again: bool = False,
        number: int | None = None,
    ) -> None:
        self._again = again
        self._number = number
        self._may_end = may_end
        self._dialect: Dialect = DIALECTS.get(request["path"], ResponsesDialect)()
        self._ledger = ledger
        self._request = request
        self._writer = writer
        body = self._dialect.as_responses(request["body"])
        self._model = str(body.get("model", ""))
        self._words = re.findall(r"\S+\s*", _text(body, self._model))
        self._usage = _usage(body, self._words)

    async def run(self) -> None:
        model = self._model
        if self._request["path"] not in DIALECTS:
            await self._whole(404, {"error": {"message": "no such path"}})
        elif model.startswith("slow-"):
            await asyncio.sleep(float(model.removeprefix("slow-")))
            await self._normal()
        elif model.startswith("retry-after-") and not self._again:
            await self._whole(429, {"error": {}}, f"Retry-After: {model.removeprefix('retry-after-')}")
        elif model.startswith("loading-") and not self._again:
            error = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
            await self._whole(503, {"error": error})
        elif model == "once-failed" and not self._again:
            await self._failed_usage()
        elif model.startswith("tokens-"):
            count, pace = model.removeprefix("tokens-").split("-")
            self._words = ["word "] * int(count)
            await self._stream(self._events(pause_s=1 / float(pace)))
        elif model.startswith("echo-"):
            if self._number is not None:
                self._words = [f"{self._number} ", *self._words]
            await self._stream(self._events(pause_s=1 / float(model.removeprefix("echo-"))))
        elif model.startswith("fault-"):
            await getattr(self, "_" + model.removeprefix("fault-").replace("-", "_"), self._by_status)()
        else:
            await self._normal()

    # -- ways to send

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _head(self, status: int, media: str, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {media}", "x-request-id: req_test", *headers]
        await self._send("\r\n".join([*lines, "", ""]).encode())

    async def _whole(self, status: int, body: Any, *headers: str, media: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        await self._head(status, media, f"Content-Length: {len(data)}", *headers)
        await self._send(data)
        if isinstance(body, dict):
            self._book(body)

    async def _begin(self) -> None:
        await self._head(200, "text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")

    async def _chunk(self, data: bytes) -> None:
        await self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def _event(self, event: dict[str, Any]) -> None:
        if data := self._framed(event):
            await self._chunk(data)
        self._book(event.get("response"))

    def _framed(self, event: dict[str, Any]) -> bytes:
        return self._dialect.framed(event)

    async def _one_body(self, response: dict[str, Any], before: str = "") -> None:
        """The whole answer as one JSON body."""
        await self._whole(200, before + json.dumps(self._dialect.body(response)))
        self._book(response)

    async def _stream(self, events: AsyncIterator[dict[str, Any]]) -> None:
        await self._begin()
        async for event in events:
            await self._event(event)
        await self._send(b"0\r\n\r\n")

    async def _normal(self) -> None:
        if not self._request["body"].get("stream"):
            await self._one_body(self._response())
        else:
            # One write for all events: benches run thousands of these.
            data = b"".join([self._framed(event) async for event in self._events()])
            await self._begin()
            await self._chunk(data)
            await self._send(b"0\r\n\r\n")
            self._book(self._response())

    def _book(self, response: Any) -> None:
        """What was sent is written down, if it reported usage."""
        if isinstance(response, dict) and response.get("usage"):
            self._ledger.append(response["usage"])

    # -- what to send

    def _response(self, status: str = "completed", **more: Any) -> dict[str, Any]:
        text = "".join(self._words)
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        response = {"id": "resp_1", "object": "response", "status": status, "model": self._model, "output": [message]}
        return {**response, "error": None, "incomplete_details": None, "usage": self._usage, **more}

    def _opening(self) -> list[dict[str, Any]]:
        running = {**self._response("in_progress"), "output": [], "usage": None}
        return [
            {"type": "response.created", "response": running},
            {"type": "response.in_progress", "response": running},
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
            {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
        ]

    async def _events(
        self, *, pause_s: float = 0.0, last: dict[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        for event in self._opening():
            yield event
        for word in self._words:
            if pause_s:
                await asyncio.sleep(pause_s)
            yield {"type": "response.output_text.delta", "output_index": 0, "delta": word}
        while pause_s and not self._may_end.is_set():
            await asyncio.sleep(0.02)
        yield {"type": "response.output_text.done", "text": "".join(self._words)}
        yield {"type": "response.content_part.done", "part": {}}
        yield {"type": "response.output_item.done", "item": {}}
        yield last or {"type": "response.completed", "response": self._response()}

    async def _three_deltas(self) -> None:
        await self._begin()
        for event in self._opening():
            await self._event(event)
        for number in (1, 2, 3):
            await self._event({"type": "response.output_text.delta", "delta": f"part{number} "})

    # -- the faults

    async def _by_status(self) -> None:
        number = int(self._model.removeprefix("fault-"))
        key = self._request["headers"].get("authorization", "")
        error = {"message": f"secret words about {key}", "type": "x", "code": "some_code", "param": "input"}
        headers = ["Retry-After: 7"] if number in (429, 503) else []
        await self._whole(number, {"error": error}, *headers)

    async def _429_plain(self) -> None:
        await self._whole(429, {"error": {"code": "rate_limit_exceeded"}})

    async def _429_date(self) -> None:
        await self._whole(429, {"error": {}}, "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT")

    async def _quota(self) -> None:
        await self._whole(429, {"error": {"code": "insufficient_quota", "message": "secret"}})

    async def _too_long(self) -> None:
        await self._whole(400, {"error": {"code": "context_length_exceeded", "message": "secret"}})

    async def _redirect(self) -> None:
        host = self._request["headers"]["host"]
        await self._whole(307, "", f"Location: http://{host}/elsewhere")

    async def _reset(self) -> None:
        raise Hangup(reset=True)

    async def _empty(self) -> None:
        raise Hangup

    async def _hang(self) -> None:
        await asyncio.sleep(3600)

    async def _slow_headers(self) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n":
            await self._send(bytes([byte]))
            await asyncio.sleep(0.1)

    async def _hang_after_3(self) -> None:
        await self._three_deltas()
        await asyncio.sleep(3600)

    async def _drip(self) -> None:
        await self._begin()
        await self._event({"type": "response.output_text.delta", "delta": "first "})
        for byte in b": " + b"x" * 10_000:
            await self._chunk(bytes([byte]))
            await asyncio.sleep(0.1)

    async def _eof_at_start(self) -> None:
        await self._begin()
        await self._event(self._opening()[0])
        raise Hangup

    async def _eof_after_3(self) -> None:
        await self._three_deltas()
        raise Hangup

    async def _rst_after_3(self) -> None:
        await self._three_deltas()
        await asyncio.sleep(0.05)
        raise Hangup(reset=True)

    async def _garbage_after_3(self) -> None:
        await self._three_deltas()
        await asyncio.sleep(0.05)
        # Below TLS, if there is any.
        os.write(self._writer.get_extra_info("socket").fileno(), b"neither TLS nor HTTP\r\n")
        raise Hangup

    async def _eof_mid_event(self) -> None:
        await self._three_deltas()
        await self._chunk(self._framed({"type": "response.completed", "response": self._response()})[:50])
        raise Hangup

    async def _no_terminal(self) -> None:
        await self._three_deltas()
        await self._send(b"0\r\n\r\n")

    async def _incomplete(self) -> None:
        await self._stream(self._events(last=self._incomplete_event("max_output_tokens")))

    async def _content_filter(self) -> None:
        await self._stream(self._events(last=self._incomplete_event("content_filter")))

    def _incomplete_event(self, reason: str) -> dict[str, Any]:
        response = self._response("incomplete", incomplete_details={"reason": reason})
        return {"type": "response.incomplete", "response": response}

    async def _failed(self, code: str = "server_error", usage: Any = None) -> None:
        response = self._response("failed", error={"code": code, "message": "secret words"}, usage=usage)
        await self._stream(self._events(last={"type": "response.failed", "response": response}))

    async def _failed_rate_limit(self) -> None:
        await self._failed("rate_limit_exceeded")

    async def _failed_quota(self) -> None:
        await self._failed("insufficient_quota")

    async def _failed_too_long(self) -> None:
        await self._failed("context_length_exceeded")

    async def _failed_usage(self) -> None:
        await self._failed(usage=self._usage)

    async def _error_event(self) -> None:
        last = {"type": "error", "code": "server_error", "message": "secret words"}
        await self._stream(self._events(last=last))

    async def _error_nested(self) -> None:
        last = {"type": "error", "error": {"code": "server_error", "message": "secret words"}}
        await self._stream(self._events(last=last))

    async def _refusal(self) -> None:
        await self._begin()
        for event in self._opening():
            await self._event(event)
        await self._event({"type": "response.refusal.delta", "delta": "I cannot "})
        await self._event({"type": "response.refusal.delta", "delta": "help with that."})
        content = [{"type": "refusal", "refusal": "I cannot help with that."}]
        await self._event({"type": "response.completed", "response": self._response(output=[{"content": content}])})
        await self._send(b"0\r\n\r\n")

    async def _unknown_events(self) -> None:
        await self._begin()
        await self._chunk(b": a comment\n\nevent: ping\ndata: {}\n\n")
        await self._event({"type": "response.of_the_future", "delta": "no text"})
        async for event in self._events():
            await self._event(event)
        await self._send(b"0\r\n\r\n")

    async def _bad_json_event(self) -> None:
        await self._begin()
        await self._chunk(self._framed(self._opening()[0]).rstrip().removesuffix(b"}") + b"\n\n")
        await self._send(b"0\r\n\r\n")

    async def _json_null(self) -> None:
        await self._whole(200, None)

    async def _json_list(self) -> None:
        await self._whole(200, [])

    async def _json_broken(self) -> None:
        await self._whole(200, '{"status": ')

    async def _no_events(self) -> None:
        await self._begin()
        await self._chunk(b": nothing follows\n\n")
        await self._send(b"0\r\n\r\n")

    async def _json_body(self) -> None:
        await self._one_body(self._response())

    async def _other_api(self) -> None:
        self._dialect = self._dialect.other()
        await self._stream(self._events())

    async def _other_api_json(self) -> None:
        self._dialect = self._dialect.other()
        await self._one_body(self._response())

    async def _html(self) -> None:
        await self._whole(200, "<html>Sign in to the hotel</html>", media="text/html")

    async def _huge(self) -> None:
        self._words = ["x" * 65_536] * 48
        await self._stream(self._events())

    async def _long_line(self) -> None:
        await self._begin()
        for _ in range(272):
            await self._chunk(b"x" * 65_536)
        await self._send(b"0\r\n\r\n")

    async def _no_usage(self) -> None:
        self._usage = None
        await self._normal()

    async def _bad_usage(self) -> None:
        self._usage = {"input_tokens": -1, "output_tokens": "7", "total_tokens": 10**30, "input_tokens_details": 3}
        await self._normal()

    async def _no_usage_details(self) -> None:
        assert self._usage is not None
        self._usage = {**self._usage, "input_tokens_details": None, "output_tokens_details": None}
        await self._normal()

    async def _bom(self) -> None:
        """In pieces, and right before the first delta."""
        await self._begin()
        await self._chunk(BOM[:1])
        await self._chunk(BOM[1:])
        for word in self._words:
            data = self._framed({"type": "response.output_text.delta", "delta": word})
            await self._chunk(data[data.index(b"data:") :])
        await self._event({"type": "response.completed", "response": self._response()})
        await self._send(b"0\r\n\r\n")

    async def _json_bom(self) -> None:
        await self._one_body(self._response(), BOM.decode())

    async def _nul(self) -> None:
        await self._begin()
        await self._event({"type": "response.output_text.delta", "delta": "a\0b\ud800c"})
        await self._event({"type": "response.completed", "response": self._response(output=[])})
        await self._send(b"0\r\n\r\n")

    async def _no_deltas(self) -> None:
        await self._begin()
        await self._event({"type": "response.completed", "response": self._response()})
        await self._send(b"0\r\n\r\n")


def _usage(body: dict[str, Any], words: list[str]) -> dict[str, Any] | None:
    asked = len(str(body.get("instructions", "")).split()) + len(asked_of(body).split())
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": min(asked, 2)},
        "output_tokens": len(words) + 1,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": asked + len(words) + 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake model provider; see the docstring for its models.")
    parser.add_argument("--port", type=int, default=0)
    with Upstream(parser.parse_args().port) as upstream:
        print(upstream.base_url, flush=True)
        threading.Event().wait()


def fault_models() -> list[str]:
    """The names in the upstream's own table, with statuses spelled out."""

    words = (__doc__ or "").replace("fault-STATUS", "").split()
    statuses = [f"fault-{status}" for status in (400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 529)]
    return sorted({word for word in words if word.startswith("fault-")} | set(statuses))


FAULT_MODELS = fault_models()


if __name__ == "__main__":
    main()
