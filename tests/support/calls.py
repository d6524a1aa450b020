"""Calls to a server that runs as a process of its own."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from tests.support.constants import KEY_CANARY
from tests.support.processes import Server
from tests.support.upstream import Upstream

BODY = {"template_id": "basic_chat_v1", "input": "Hello"}


def ask(server: Server, timeout_s: float = 60, **changes: Any) -> tuple[int, dict[str, Any]]:
    data = json.dumps({**BODY, **changes}).encode()
    request = urllib.request.Request(f"{server.base_url}/api/v1/generate", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def stream(
    server: Server, model: str, leave_after: int | None = None, text: str | None = None
) -> list[tuple[str, Any]]:
    """The events of a streamed call, by name; `leave_after` so many the caller hangs up."""
    data = json.dumps({**BODY, "stream": True, "model": model, "input": text or str(time.monotonic_ns())}).encode()
    request = urllib.request.Request(f"{server.base_url}/api/v1/generate", data, {"Content-Type": "application/json"})
    events, name = list[tuple[str, Any]](), ""
    with urllib.request.urlopen(request, timeout=60) as response:
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                events.append((name, json.loads(line[6:])))
                if len(events) == leave_after:
                    break
    return events


def get(server: Server, path: str, data: bytes | None = None) -> Any:
    with urllib.request.urlopen(f"{server.base_url}/api/v1/{path}", data, timeout=60) as response:
        return json.load(response)


def provider(upstream: Upstream, *models: str, **more: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": KEY_CANARY,
        "OPENAI_BASE_URL": upstream.base_url,
        "OPENAI_MODEL": "normal",
        "APP_MODELS": ",".join(["normal", *models]),
        **more,
    }
