"""Streams: 500 of 50 tokens at 20 tokens a second, and the time to the first token, compared with the upstream alone.

.venv/bin/python -m bench.streams
"""

import asyncio
import statistics

from bench.bursts import count_completed
from bench.load import Exchange, all_at_once, exchange, percentile
from bench.rig import machine, ours, tree_rss_mb, upstream

STREAMS = 500
TOKENS = 50
MODEL = f"tokens-{TOKENS}-20"


def through(number: int, model: str = MODEL) -> dict[str, object]:
    return {"template_id": "basic_chat_v1", "input": f"Question {number}", "model": model, "stream": True}


def direct(number: int, model: str = MODEL) -> dict[str, object]:
    return {"model": model, "input": f"Question {number}", "instructions": "Be brief.", "stream": True}


async def many(url: str, bodies: list[dict[str, object]]) -> tuple[list[Exchange], float]:
    return await all_at_once(asyncio.ensure_future(exchange(url, body)) for body in bodies)


async def first_tokens(url: str, bodies: list[dict[str, object]]) -> list[float]:
    return [(await exchange(url, body)).first_s or 0.0 for body in bodies]


def show(name: str, done: list[Exchange], wall_s: float) -> None:
    first = [reply.first_s or 0.0 for reply in done]
    whole = sum(reply.whole and reply.status == 200 for reply in done)
    print(
        f"{name:9} {len(done)} streams: wall {wall_s:5.2f} s, first token p50 {percentile(first, 50):.2f} s "
        f"p99 {percentile(first, 99):.2f} s, whole {whole}"
    )


def main() -> None:
    print(machine())
    env = {"OPENAI_API_KEY": "bench", "APP_MODELS": f"gpt-4o-mini,normal,{MODEL}"}
    with upstream() as provider, ours(**env, OPENAI_BASE_URL=provider) as (base, master):
        ours_url, upstream_url = base + "/api/v1/generate", provider + "/responses"
        added = []
        for turn in range(5):
            numbers = range(turn * 40, turn * 40 + 40)
            straight = asyncio.run(first_tokens(upstream_url, [direct(n, "normal") for n in numbers]))
            ours_first = asyncio.run(first_tokens(ours_url, [through(n, "normal") for n in numbers]))
            added.append((statistics.median(ours_first) - statistics.median(straight)) * 1000)
        print(
            f"added time to first token, alone: p50 {statistics.median(added):.2f} ms (5 turns of 40: {min(added):.2f}-{max(added):.2f})"
        )
        straight_done, straight_s = asyncio.run(many(upstream_url, [direct(n) for n in range(STREAMS)]))
        show("upstream", straight_done, straight_s)
        done, wall_s = asyncio.run(many(ours_url, [through(10_000 + n) for n in range(STREAMS)]))
        show("service", done, wall_s)
        print(
            f"ratio {wall_s / straight_s:.2f} x, in the history {count_completed(base) - 200}, "
            f"peak RSS of the tree {tree_rss_mb(master):.0f} MB"
        )


if __name__ == "__main__":
    main()
