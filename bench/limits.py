"""Cache hits without limits, with a rate limit, and with a budget, in turns.

.venv/bin/python -m bench.limits [ROUNDS] [SECONDS]
"""

import asyncio
import sys

from bench.dialects import NO_MODEL, Question
from bench.load import Load, closed_loop
from bench.rig import end_on_signals, machine, median
from bench.subjects import OURS


def main() -> None:
    rounds, seconds = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (3, 3)
    end_on_signals()
    print(machine())
    asker = Question(numbered=False).asker(NO_MODEL)
    with (
        OURS.settled() as free,
        OURS.settled(environ={"APP_LIMIT_RPM": "1000000"}) as rate,
        OURS.settled(environ={"APP_BUDGET_TOKENS_DAY": "1000000000"}) as budget,
    ):
        for connections in (1, 32):
            loads: dict[str, list[Load]] = {"no limit": [], "generations": [], "budget": []}
            for _ in range(rounds):
                for name, server in zip(loads, (free, rate, budget), strict=True):
                    loads[name].append(asyncio.run(closed_loop(server.port, asker, connections, seconds=seconds)))
            for name, found in loads.items():
                show(f"c={connections:<3} {name:12}", found)


def show(name: str, loads: list[Load]) -> None:
    """Medians of the rounds."""
    per_s, p50, p99 = (median(values) for values in zip(*((x.per_s, x.ms(50), x.ms(99)) for x in loads), strict=True))
    failed = sum(len(load.failures) for load in loads)
    print(f"{name} {per_s:7.0f} hits/s  p50 {p50:6.2f} ms  p99 {p99:7.2f} ms  failed {failed}")


if __name__ == "__main__":
    main()
