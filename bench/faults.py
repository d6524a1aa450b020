"""A failing upstream, and clients that disconnect.

    .venv/bin/python -m bench.faults

200 identical calls at once, 20 rounds; cache hits while 200 calls hang, and requests above the slots; an upstream
that only answers 503; 100 clients that disconnect after the third event.
"""

import asyncio
import json
import time
import urllib.request
from typing import Any

from bench.load import Exchange, all_at_once, exchange, percentile
from bench.rig import machine, ours
from tests.support.upstream import Upstream

HANGING = 200
HITS, HITS_PER_S = 2000, 50


def body(text: str, model: str = "normal", **more: Any) -> dict[str, Any]:
    return {"template_id": "basic_chat_v1", "input": text, "model": model, **more}


def get(base: str, path: str) -> Any:
    with urllib.request.urlopen(f"{base}/api/v1/{path}", timeout=10) as response:
        return json.load(response)


def gather(url: str, bodies: list[dict[str, Any]], **more: Any) -> tuple[list[Exchange], float]:
    async def run() -> tuple[list[Exchange], float]:
        return await all_at_once(asyncio.ensure_future(exchange(url, request_body, **more)) for request_body in bodies)

    return asyncio.run(run())


def identical(base: str, upstream: Upstream) -> None:
    rounds = []
    for number in range(20):
        before = len(upstream.calls)
        done, _ = gather(f"{base}/api/v1/generate", [body(f"Same {number}", "slow-2")] * 200)
        rounds.append((len(upstream.calls) - before, sum(reply.status == 200 for reply in done)))
    print(f"200 identical calls, 20 rounds: upstream calls {sorted({calls for calls, _ in rounds})} a round, "
          f"answered {sorted({good for _, good in rounds})} of 200")  # fmt: skip


async def hits_meanwhile(url: str) -> tuple[list[Exchange], list[Exchange]]:
    hanging = [asyncio.ensure_future(exchange(url, body(f"Hang {n}", "fault-hang"))) for n in range(HANGING)]
    await asyncio.sleep(2)
    began, hits, excess = time.perf_counter(), [], []
    for number in range(HITS):
        await asyncio.sleep(max(0.0, began + number / HITS_PER_S - time.perf_counter()))
        hits.append(asyncio.ensure_future(exchange(url, body("Hit"))))
        if number % 40 == 0:
            excess.append(asyncio.ensure_future(exchange(url, body(f"Too many {number}"))))
    done = await asyncio.gather(*hits), await asyncio.gather(*excess)
    for call in hanging:
        call.cancel()
    return list(done[0]), list(done[1])


def hang(base: str) -> None:
    url = f"{base}/api/v1/generate"
    gather(url, [body("Hit")])
    hits, excess = asyncio.run(hits_meanwhile(url))
    times = [reply.total_s * 1000 for reply in hits]
    print(f"{HANGING} calls hang, {HITS} hits at {HITS_PER_S}/s: p50 {percentile(times, 50):.1f} ms, p99 {percentile(times, 99):.1f} ms, "
          f"errors {sum(reply.status != 200 for reply in hits)}; above the slots: {sum(reply.status == 503 for reply in excess)} of {len(excess)} "
          f"got 503, slowest {max(reply.total_s for reply in excess) * 1000:.1f} ms")  # fmt: skip


def down(base: str, upstream: Upstream) -> None:
    before, statuses = len(upstream.calls), dict[int, int]()
    for start in range(0, 1000, 50):
        done, _ = gather(f"{base}/api/v1/generate", [body(f"Down {n}", "fault-503") for n in range(start, start + 50)])
        for reply in done:
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
    print(f"upstream only 503: 1,000 requests, {len(upstream.calls) - before} upstream calls, answers {statuses}")


def leave(base: str, upstream: Upstream) -> None:
    before = upstream.open_connections
    bodies = [body(f"Leave {n}", "tokens-400-10", stream=True) for n in range(100)]
    gather(f"{base}/api/v1/generate", bodies, leave_after=3)
    began = time.monotonic()
    while upstream.open_connections > before and time.monotonic() - began < 30:
        time.sleep(0.05)
    closed_s = time.monotonic() - began
    time.sleep(1)
    status = get(base, "status")
    rows = [row["status"] for row in get(base, "history?limit=100")["items"]]
    print(f"100 clients left after the third event: upstream connections closed {closed_s:.1f} s after the last had left "
          f"(grace 5 s), rows {({state: rows.count(state) for state in set(rows)})}, slots in use {status['upstream']['in_flight']}")  # fmt: skip


def main() -> None:
    print(machine())
    with Upstream() as upstream:
        models = "gpt-4o-mini,normal,slow-2,fault-hang,fault-503,tokens-400-10"
        env = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "bench", "APP_MODELS": models}
        with ours(**env) as (base, _):
            leave(base, upstream)
            identical(base, upstream)
        with ours(**env, APP_UPSTREAM_SLOTS=str(HANGING)) as (base, _):
            hang(base)
        with ours(**env) as (base, _):
            down(base, upstream)


if __name__ == "__main__":
    main()
