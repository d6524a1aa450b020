"""Cache hits with the history on, compared with a bare flask-smorest view on the same worker class.

.venv/bin/python -m bench.hits [ROUNDS] [SECONDS]
"""

import sys

from bench.rig import Load, bare, machine, median, ours, wrk

INPUT = "word " * 60  # 300 bytes
SCRIPT = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{{"template_id": "basic_chat_v1", "input": "{INPUT}", "parameters": {{"tone": "simple"}}}}'
"""


def main() -> None:
    rounds, seconds = map(int, [*sys.argv[1:], "3", "5"][:2])
    print(machine())
    with bare() as limit, ours(APP_PROVIDER="echo") as (base, _):
        for connections in (1, 32):
            loads: dict[str, list[Load]] = {"bare": [], "hits": []}
            for _ in range(rounds):
                for name, address in (("bare", limit), ("hits", base)):
                    load = wrk(address + "/api/v1/generate", SCRIPT, connections=connections, seconds=seconds)
                    loads[name].append(load)
            middle = {name: median(found) for name, found in loads.items()}
            for name, load in middle.items():
                print(
                    f"c={connections:<3} {name:5} {load.rps:7.0f} rps  p50 {load.p50_ms:6.2f} ms  p99 {load.p99_ms:7.2f} ms  errors {load.errors}"
                )
            print(f"c={connections:<3} ratio {middle['hits'].rps / middle['bare'].rps:.2f}")


if __name__ == "__main__":
    main()
