"""The wire formats by the kind that the providers file names."""

from collections.abc import Callable, Mapping

from .chat_completions.wire import ChatWire
from .openai_api.wire import Wire
from .openai_responses.azure import AzureWire
from .openai_responses.wire import ResponsesWire

WIRES: Mapping[str, Callable[[], Wire]] = {wire.kind: wire for wire in (ResponsesWire, ChatWire, AzureWire)}
