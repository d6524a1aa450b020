"""Cache hits without limits, with a rate limit, and with a budget, in turn.

.venv/bin/python -m bench.limits [ROUNDS] [SECONDS]
"""

import sys

from bench.hits import SCRIPT
from bench.rig import Load, machine, median, ours, wrk


def main() -> None:
    rounds, seconds = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (3, 5)
    print(machine())
    with (
        ours(APP_PROVIDER="echo") as (free, _),
        ours(APP_PROVIDER="echo", APP_LIMIT_RPM="1000000") as (rate, _),
        ours(APP_PROVIDER="echo", APP_BUDGET_TOKENS_DAY="1000000000") as (budget, _),
    ):
        for connections in (1, 32):
            loads: dict[str, list[Load]] = {"no limit": [], "generations": [], "budget": []}
            for _ in range(rounds):
                for name, address in zip(loads, (free, rate, budget), strict=True):
                    loads[name].append(
                        wrk(address + "/api/v1/generate", SCRIPT, connections=connections, seconds=seconds)
                    )
            for name, found in loads.items():
                load = median(found)
                print(
                    f"c={connections:<3} {name:12} {load.rps:7.0f} rps  p50 {load.p50_ms:6.2f} ms  p99 {load.p99_ms:7.2f} ms  errors {load.errors}"
                )


if __name__ == "__main__":
    main()
