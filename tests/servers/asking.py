"""Asks the scripted upstream once, without retries, and keeps what the adapter makes of its answer."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from llm_service.adapters.providers.openai_api.provider import ApiProvider
from llm_service.adapters.providers.openai_api.quirks import NO_QUIRKS, Quirks
from llm_service.adapters.providers.openai_responses.wire import ResponsesWire
from llm_service.adapters.runtime.clock import SystemClock
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, Delta, Done, ProviderCall
from llm_service.core.templates.outputs import OutputFormat
from tests.support.builders import messages_of
from tests.support.upstream import Upstream
from tests.support.upstream_replay import Replay

VERDICT = OutputFormat(
    "verdict_v1",
    {
        "type": "object",
        "properties": {"grade": {"type": "string"}, "points": {"type": "integer"}},
        "required": ["grade", "points"],
        "additionalProperties": False,
    },
    {"grade": "good", "points": 3},
)


@dataclass(frozen=True)
class Heard:
    """`streamed`: all deltas joined. Either `done` or `error` is set."""

    streamed: str
    done: Done | None
    error: ServiceError | None
    billed: tuple[Billed, ...]

    @property
    def answer(self) -> Done:
        assert self.done is not None, self.error
        return self.done

    @property
    def failure(self) -> ServiceError:
        assert self.error is not None, self.done
        return self.error


def ask(
    upstream: Upstream,
    replay: Replay,
    *,
    quirks: Quirks = NO_QUIRKS,
    output: OutputFormat | None = None,
    options: Mapping[str, Any] | None = None,
) -> Heard:
    model = f"replayed-{len(upstream.replays)}"
    upstream.replays[model] = replay
    call = ProviderCall(model, messages_of("Be brief.", "Which city?"), dict(options or {}), output)
    provider = ApiProvider(ResponsesWire(), api_key=None, base_url=upstream.base_url, idle_timeout_s=60, quirks=quirks)
    text, done, error, billed = "", None, None, list[Billed]()
    with closing(provider):
        try:
            for event in provider.stream(call, CallContext(time.monotonic() + 60, SystemClock())):
                if isinstance(event, Delta):
                    text += event.text
                elif isinstance(event, Done):
                    done = event
                elif isinstance(event, Billed):
                    billed.append(event)
        except ServiceError as raised:
            error = raised
    return Heard(text, done, error, tuple(billed))
