"""A failing upstream, and clients that disconnect.

    .venv/bin/python -m bench.faults

Requests above the slots, while as many calls hang; an upstream that only answers 503; 100 clients that disconnect after
the third event. The upstream is tests/support/upstream.py, which knows every fault.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.dialects import SERVICE
from bench.load import Reply, all_at_once, request
from bench.rig import end_on_signals, machine, raise_file_limit
from bench.subjects import OURS, Server
from tests.support.upstream import Upstream

SLOTS, EXCESS = 200, 50
MODELS = "gpt-4o-mini,fault-hang,fault-503,tokens-400-10"


def asked(text: str, model: str, **more: Any) -> bytes:
    return request(SERVICE.path, {"template_id": "basic_chat_v1", "input": text, "model": model, **more})


def replies(server: Server, requests: Sequence[bytes], leave_after: int | None = None) -> list[Reply]:
    return asyncio.run(all_at_once(server.port, requests, SERVICE.mark, leave_after))[0]


def above_the_slots(server: Server) -> None:
    async def excess() -> list[Reply]:
        hang = [asked(f"Hang {number}", "fault-hang") for number in range(SLOTS)]
        hanging = asyncio.ensure_future(all_at_once(server.port, hang))
        await asyncio.sleep(3)
        found, _ = await all_at_once(server.port, [asked(f"Too many {n}", "fault-hang") for n in range(EXCESS)])
        hanging.cancel()
        return found

    found = asyncio.run(excess())
    refused, slowest_ms = sum(reply.status == 503 for reply in found), max(reply.total_s for reply in found) * 1000
    print(
        f"{SLOTS} calls hang in {SLOTS} slots: {refused} of {EXCESS} more got 503, the slowest after {slowest_ms:.0f} ms"
    )


def down(server: Server, upstream: Upstream) -> None:
    before, statuses = len(upstream.calls), Counter[int]()
    for start in range(0, 1000, 50):
        found = replies(server, [asked(f"Down {number}", "fault-503") for number in range(start, start + 50)])
        statuses.update(reply.status for reply in found)
    print(f"upstream only 503: 1,000 requests, {len(upstream.calls) - before} upstream calls, answers {dict(statuses)}")


def leave(server: Server, upstream: Upstream) -> None:
    before = upstream.open_connections
    replies(server, [asked(f"Leave {n}", "tokens-400-10", stream=True) for n in range(100)], leave_after=3)
    began = time.monotonic()
    while upstream.open_connections > before and time.monotonic() - began < 30:
        time.sleep(0.05)
    closed_s = time.monotonic() - began
    time.sleep(1)
    rows = Counter(row["status"] for row in json.loads(server.get("/api/v1/history?limit=100"))["items"])
    in_flight = json.loads(server.get("/api/v1/status"))["upstream"]["in_flight"]
    print(f"100 clients left after the third event: upstream connections closed {closed_s:.1f} s after the last had left "
          f"(grace 5 s), rows {dict(rows)}, slots in use {in_flight}")  # fmt: skip


def main() -> None:
    raise_file_limit()
    end_on_signals()
    print(machine())
    environ = {"APP_MODELS": MODELS}
    with Upstream() as upstream:
        with OURS.settled(upstream.base_url, environ) as server:
            leave(server, upstream)
        with OURS.settled(upstream.base_url, {**environ, "APP_UPSTREAM_SLOTS": str(SLOTS)}) as server:
            above_the_slots(server)
        with OURS.settled(upstream.base_url, environ) as server:
            down(server, upstream)


if __name__ == "__main__":
    main()
