"""The wire formats that write and read differently; that of `azure` is the Responses API's."""

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire

FORMATS = {wire.kind: wire for wire in (ResponsesWire, ChatWire)}
