"""How a subject is asked, and how its answer is read."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Ask, Reply, Response, request
from bench.upstream import CHAT as CHAT_PATH
from bench.upstream import RESPONSES as RESPONSES_PATH
from bench.upstream import answer_text

# 300 characters.
TEXT = ("Explain worker classes in simple words, with numbers. " * 6)[:300]
# Stands for a request's number, in the marker and so in the answer too.
NUMBER = "########"


@dataclass(frozen=True)
class Dialect:
    """`mark` begins each piece of text of a stream. `fixed`: a part of every answer, of a subject that asks no model."""

    path: str
    body: Callable[[str, bool], dict[str, Any]]
    text: Callable[[Response], str]
    mark: bytes = b""
    fixed: bytes = b""

    def request(self, text: str, *, stream: bool = False, headers: Sequence[str] = ()) -> bytes:
        return request(self.path, self.body(text, stream), headers)

    def is_whole(self, reply: Reply, text: str) -> bool:
        """Whether the reply is complete and its text is this."""
        try:
            return reply.status == 200 and self.text(reply.response) == text
        except (ValueError, LookupError, TypeError):
            return False


@dataclass(frozen=True)
class Question:
    """A text with a marker, and the answer. With `numbered`, each request and its answer are different."""

    tokens: int = 60
    per_s: float = 0.0
    delay_s: float = 0.0
    numbered: bool = True
    mark: str = ""
    text: str = TEXT

    @property
    def tag(self) -> str:
        return f"{self.mark or 'q'}{NUMBER if self.numbered else ''}"

    @property
    def template(self) -> str:
        """What is asked, before its number is in it."""
        marker = f"tok={self.tokens},tps={self.per_s:g},delay={self.delay_s:g},tag={self.tag}"
        return f"@@{marker}@@ {self.text}"

    def asked(self, number: int) -> str:
        return self.template.replace(NUMBER, f"{number:08}")

    def answer(self, number: int) -> str:
        return answer_text(self.tokens, self.tag).replace(NUMBER, f"{number:08}")

    def asker(self, dialect: Dialect, headers: Sequence[str] = ()) -> Ask:
        """For `closed_loop`. The request is made once; a number takes as many bytes as its place."""
        data = dialect.request(self.template, headers=headers)
        expected = dialect.fixed or answer_text(self.tokens, self.tag).encode()
        if not self.numbered:
            return lambda _: (data, expected)
        place = NUMBER.encode()
        return lambda number: (data.replace(place, b"%08d" % number), expected.replace(place, b"%08d" % number))


def events(response: Response) -> Iterator[tuple[str, Any]]:
    """The name (or none) and the data of each event; `[DONE]` is left out."""
    for block in response.body().decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines and lines["data"] != "[DONE]":
            yield lines.get("event", ""), json.loads(lines["data"])


def is_stream(response: Response) -> bool:
    return b"text/event-stream" in response.data[:2000]


def _same(first: str, second: str) -> str:
    """The text twice: of the pieces, and of the last event."""
    if first != second:
        raise ValueError("the pieces are not the whole text")
    return first


def _service_text(response: Response) -> str:
    if not is_stream(response):
        answer = json.loads(response.body())
        return str(answer["output"]) if answer["status"] == "completed" else ""
    found = list(events(response))
    last, answer = found[-1]
    pieces = "".join(data["text"] for name, data in found if name == "delta")
    return _same(pieces, answer["output"]) if last == "done" and answer["status"] == "completed" else ""


def _responses_text(response: Response) -> str:
    if not is_stream(response):
        return str(json.loads(response.body())["output"][0]["content"][0]["text"])
    found = list(events(response))
    pieces = "".join(data["delta"] for name, data in found if name == "response.output_text.delta")
    return _same(pieces, found[-1][1]["response"]["output"][0]["content"][0]["text"])


def _chat_text(response: Response) -> str:
    if not is_stream(response):
        return str(json.loads(response.body())["choices"][0]["message"]["content"])
    choices = [data["choices"][0] for _, data in events(response) if data["choices"]]
    if not any(choice.get("finish_reason") for choice in choices):
        raise ValueError("no last event")
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _service_body(text: str, stream: bool) -> dict[str, Any]:
    body = {"template_id": "basic_chat_v1", "input": text, "parameters": {"tone": "simple"}}
    return {**body, "stream": True} if stream else body


def _responses_body(text: str, stream: bool) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "instructions": "Be brief.", "input": text, "stream": stream}


def _chat_body(text: str, stream: bool) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": messages, "stream": stream}


SERVICE = Dialect("/api/v1/generate", _service_body, _service_text, mark=b"event: delta")
# Nobody asks the upstream: the bare views, and the service with the echo.
NO_MODEL = Dialect("/api/v1/generate", _service_body, _service_text, fixed=b'"completed"')
RESPONSES = Dialect(RESPONSES_PATH, _responses_body, _responses_text, mark=b"event: response.output_text.delta")
CHAT = Dialect(CHAT_PATH, _chat_body, _chat_text, mark=b'"content":"')
