"""The wire formats, by the name of their kind."""

from collections.abc import Callable, Mapping

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_api.wire import Wire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire

WIRES: Mapping[str, Callable[[], Wire]] = {wire.kind: wire for wire in (ResponsesWire, ChatWire)}
