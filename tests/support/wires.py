"""The wire formats of servers that are called as OpenAI's, by the name of their kind."""

from collections.abc import Callable, Mapping

from llm_service.adapters.providers.chat_completions.wire import ChatWire
from llm_service.adapters.providers.openai_api.wire import Wire
from llm_service.adapters.providers.openai_responses.azure import AzureWire
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire

# Those that write and read differently.
WIRES: Mapping[str, Callable[[], Wire]] = {wire.kind: wire for wire in (ResponsesWire, ChatWire)}
ALL_KINDS: Mapping[str, Callable[[], Wire]] = {**WIRES, AzureWire.kind: AzureWire}
