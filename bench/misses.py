"""Misses in front of an upstream that answers at once, against the same calls directly to the upstream.

Every request has a different input, so each is rendered, stored as running, sent, and stored with its answer.

    .venv/bin/python -m bench.misses [SECONDS]
"""

import sys

from bench.rig import machine, ours, upstream, wrk

COUNTER = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, string.format(BODY, n))
end
"""
DIRECT = (
    'BODY = \'{"model": "normal", "input": "Question %d '
    + "word " * 20
    + '", "instructions": "Be brief.", "stream": true}\''
)
THROUGH = 'BODY = \'{"template_id": "basic_chat_v1", "input": "Question %d ' + "word " * 20 + "\"}'"


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(machine())
    with upstream() as provider, ours(OPENAI_BASE_URL=provider, OPENAI_API_KEY="bench") as (base, _):
        for connections in (1, 32):
            straight = wrk(provider + "/responses", DIRECT + COUNTER, connections=connections, seconds=3)
            load = wrk(
                base + "/api/v1/generate",
                THROUGH + COUNTER.replace("local n = 0", f"local n = {connections * 10**6}"),
                connections=connections,
                seconds=seconds,
            )
            print(
                f"c={connections:<3} upstream {straight.rps:6.0f} rps  p50 {straight.p50_ms:6.2f} ms  p99 {straight.p99_ms:6.2f} ms"
            )
            print(
                f"c={connections:<3} misses   {load.rps:6.0f} rps  p50 {load.p50_ms:6.2f} ms  p99 {load.p99_ms:6.2f} ms  "
                f"added p50 {load.p50_ms - straight.p50_ms:.2f} ms, p99 {load.p99_ms - straight.p99_ms:.2f} ms  errors {load.errors}"
            )


if __name__ == "__main__":
    main()
