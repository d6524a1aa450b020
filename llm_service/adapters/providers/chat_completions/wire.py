"""Writes calls for chat completions, and reads their chunks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llm_service.core.errors import ServiceError, UpstreamInvalidResponse, UpstreamTruncated
from llm_service.core.generation.model import ProviderCall, ProviderEvent

from ..openai_api.body import EventStream, JsonBody, answer_body, drain
from ..openai_api.foreign import CHAT_KIND, no_answer_of_ours
from ..openai_api.quirks import Quirks
from ..openai_api.schema_prompt import system_text
from ..openai_api.strict_schema import strict_schema
from .answer import ChatAnswer
from .chunks import Chunk, chunk_of, decoded
from .endings import error_told, raise_told

if TYPE_CHECKING:
    from ..transport import Response

# The API's names of the options.
_OPTIONS = {"temperature": "temperature", "top_p": "top_p"}
# OpenAI's own name of the bound; its reasoning models refuse the older one, which all other servers know.
_MAX_TOKENS, _OWN_MAX_TOKENS = "max_tokens", "max_completion_tokens"
_END = b"[DONE]"
# After the end of the text, how long to wait for the usage and the mark of the end. Some servers send neither.
AFTER_TEXT_S = 5.0


class ChatWire:
    """Satisfies `Wire`."""

    kind = CHAT_KIND
    path = "/chat/completions"
    key_header = ""

    def body(self, call: ProviderCall, quirks: Quirks, *, own_address: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": call.model,
            "messages": _messages(call, quirks),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if call.output:
            schema = strict_schema(call.output.schema)
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": call.output.name, "strict": True, "schema": schema},
            }
        if own_address:
            body["store"] = False
            body["stream_options"]["include_obfuscation"] = False
        bound = _OWN_MAX_TOKENS if own_address or quirks.max_completion_tokens else _MAX_TOKENS
        names = {**_OPTIONS, "max_output_tokens": bound}
        return {**body, **{names[name]: value for name, value in call.options.items()}}

    def reader(self, call: ProviderCall, quirks: Quirks, *, idle_timeout_s: float) -> "ChatReader":
        return ChatReader(call, quirks, idle_timeout_s)


def _messages(call: ProviderCall, quirks: Quirks) -> list[dict[str, str]]:
    """One message for each role: the chat templates of many models refuse a second one. Plain text is what all take."""
    system = system_text(call, schema_in_prompt=quirks.schema_in_prompt)
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": call.user_prompt}]


class ChatReader:
    """Satisfies `AnswerReader`."""

    def __init__(self, call: ProviderCall, quirks: Quirks, idle_timeout_s: float) -> None:
        self._call = call
        self._idle_timeout_s = idle_timeout_s
        self._answer = ChatAnswer(quirks)

    @property
    def started(self) -> bool:
        return self._answer.started

    def read(self, response: "Response") -> Iterator[ProviderEvent]:
        body, answer = answer_body(response, CHAT_KIND), self._answer
        try:
            if isinstance(body, JsonBody):
                answer.take([_completion(body.value)])
            else:
                yield from self._read(body, response)
        except Exception as error:
            yield from answer.new_text()  # keep the text that arrived before the error
            if not answer.is_whole or _tells_a_failure(error):
                if (billed := answer.billed) is not None:
                    yield billed
                if isinstance(error, ServiceError):
                    error.may_be_billed |= answer.thought
                raise
        yield from answer.finish(self._call, response.header(b"x-request-id"))

    def _read(self, body: EventStream, response: "Response") -> Iterator[ProviderEvent]:
        """Until the mark of the end, or the end of an answer that needs none."""
        answer, received = self._answer, iter(body)
        for data in received:
            if _END in data:
                answer.take(decoded(data[: data.index(_END)], body.names), body.names)
                drain(response, received)
                return
            answer.take(decoded(data, body.names), body.names)
            if answer.has_new_text:
                # What arrived together is passed on together.
                response.limit.idle_s = self._idle_timeout_s
                yield from answer.new_text()
            if answer.is_whole:
                response.limit.idle_s = min(self._idle_timeout_s, AFTER_TEXT_S)
        if (told := body.error()) is not None:
            raise error_told(told)
        if not answer.recognized:
            raise no_answer_of_ours(CHAT_KIND)
        if not answer.finished:
            raise UpstreamTruncated("The model provider's answer ended before it was complete.")


def _completion(body: Any) -> Chunk:
    """The chunk that a JSON body is."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        body = body[0]  # Gemini's errors
    chunk = chunk_of(body) if isinstance(body, dict) else Chunk()
    raise_told(chunk)
    if not chunk.choices:
        raise no_answer_of_ours(CHAT_KIND, "JSON")
    return chunk


def _tells_a_failure(error: Exception) -> bool:
    """Otherwise it is what follows a complete answer: a lost connection, or bytes that nobody can read."""
    return isinstance(error, ServiceError) and not isinstance(error, UpstreamInvalidResponse)
