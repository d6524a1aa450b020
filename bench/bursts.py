"""Many slow calls at once: 500 and 1,000 calls of 5 s, also right after a start.

.venv/bin/python -m bench.bursts
"""

import asyncio
import json
import urllib.request

from bench.load import all_at_once, exchange, percentile
from bench.rig import machine, ours, tree_rss_mb, upstream

SECONDS = 5


async def burst(url: str, calls: int, mark: str) -> tuple[float, list[float], int]:
    bodies = [
        {"template_id": "basic_chat_v1", "input": f"Question {mark} {number}", "model": f"slow-{SECONDS}"}
        for number in range(calls)
    ]
    done, wall_s = await all_at_once(asyncio.ensure_future(exchange(url, body)) for body in bodies)
    good = sum(reply.status == 200 and json.loads(reply.body)["status"] == "completed" for reply in done)
    return wall_s, [reply.total_s for reply in done], good


def measure(provider: str, *sizes: int) -> None:
    env = {"OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "bench", "APP_MODELS": f"gpt-4o-mini,slow-{SECONDS}"}
    with ours(**env, APP_UPSTREAM_SLOTS="1200") as (base, master):
        for number, size in enumerate(sizes):
            wall_s, times, good = asyncio.run(burst(base + "/api/v1/generate", size, str(number)))
            kept = count_completed(base)
            print(
                f"{size:5} calls of {SECONDS} s{' (first after a start)' if not number else '':24} wall {wall_s:5.2f} s = "
                f"{wall_s / SECONDS:.2f} x, p50 {percentile(times, 50):.2f} s, p99 {percentile(times, 99):.2f} s, "
                f"good {good}, in the history {kept}, peak RSS of the tree {tree_rss_mb(master):.0f} MB"
            )


def count_completed(base: str) -> int:
    """Completed rows of the whole history, through the API."""
    with urllib.request.urlopen(base + "/api/v1/history/export") as response:
        return sum(item["status"] == "completed" for item in json.load(response)["items"])


def main() -> None:
    print(machine())
    with upstream() as provider:
        measure(provider, 500, 500)
        measure(provider, 1000, 1000)


if __name__ == "__main__":
    main()
