"""A large history, over the API: pages, filters, searches, an export beside other requests; hits without it.

.venv/bin/python -m bench.history PATH...    databases from bench.fill; or URLs, from bench.fill_postgres
.venv/bin/python -m bench.history hits       hits per second, APP_HISTORY full against off
"""

import asyncio
import http.client
import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from bench.dialects import NO_MODEL, Question
from bench.fill import COMMON_WORD, RARE_WORD
from bench.load import closed_loop
from bench.rig import end_on_signals, machine, median, peak_rss_mb, percentile
from bench.subjects import OURS, Server

HISTORY = "/api/v1/history"
ROUNDS = 100
BODY = json.dumps({"template_id": "basic_chat_v1", "input": "asked again and again"}).encode()


class Client:
    """One persistent connection."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)

    def get(self, path: str) -> dict[str, object]:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = json.load(response)
        assert response.status == 200, body
        return body  # type: ignore[no-any-return]

    def hit_ms(self) -> float:
        started = time.perf_counter()
        self.connection.request("POST", "/api/v1/generate", BODY, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        response.read()
        assert response.status == 200
        return (time.perf_counter() - started) * 1000

    def times_ms(self, path: str) -> list[float]:
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            self.get(path)
            times.append((time.perf_counter() - started) * 1000)
        return times


def pages(server: Server, rows: int) -> None:
    client = Client(server)
    for name, query in [
        ("first page", ""),
        ("page in the middle", f"cursor=b{rows // 2}"),
        ("filtered page", "template_id=review_v2&status=failed"),
        ("filtered in time", "since=2020-01-01&model=o3"),
        ("rare word", f"q={RARE_WORD}"),
        ("common word", f"q={COMMON_WORD}"),
        ("common word, in the middle", f"q={COMMON_WORD}&cursor=b{rows // 2}"),
        ("two words, one not", f"q={COMMON_WORD}+-{RARE_WORD}"),
        ("common word, cached only", f"q={COMMON_WORD}&cached=true"),
        ("no such model", "model=nope"),
    ]:
        found = len(client.get(f"{HISTORY}?{query}")["items"])  # type: ignore[arg-type]
        times = client.times_ms(f"{HISTORY}?{query}")
        show(rows, name, f"{found} rows", times)
    since = datetime.now(UTC) - timedelta(days=30)
    for group_by in ("day", "template", "model"):
        query = urlencode({"group_by": group_by, "since": since.isoformat(timespec="seconds")})
        requests = client.get(f"/api/v1/usage?{query}")["total"]["requests"]  # type: ignore[index]
        times = client.times_ms(f"/api/v1/usage?{query}")
        show(rows, f"usage of 30 days by {group_by}", f"{requests:,} requests", times)


def show(rows: int, name: str, found: str, times: list[float]) -> None:
    print(f"{rows:>9,}  {name:28} {found:>17}  p50 {median(times):6.1f} ms  p95 {percentile(times, 95):6.1f} ms")


def export(server: Server, rows: int) -> None:
    """One client reads the whole export at full speed; another requests cache hits meanwhile."""
    hits = Client(server)
    hits.hit_ms()
    quiet = [hits.hit_ms() for _ in range(300)]
    over, meanwhile = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            meanwhile.append(hits.hit_ms())
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("GET", f"{HISTORY}/export?format=jsonl")
    response, lines, size = connection.getresponse(), 0, 0
    while chunk := response.read(1 << 16):
        lines += chunk.count(b"\n")
        size += len(chunk)
    seconds = time.perf_counter() - started
    over.set()
    asking.join()
    print(
        f"{rows:>9,}  export of {lines:,} rows, {size / 2**20:,.0f} MiB in {seconds:.0f} s; worker and master "
        f"{peak_rss_mb(server.pid):.0f} MiB at most; hits p50 {median(meanwhile):.1f} p99 {percentile(meanwhile, 99):.1f} ms "
        f"(without: {median(quiet):.1f} and {percentile(quiet, 99):.1f})"
    )


def hits_with_and_without() -> None:
    per_s: dict[str, list[float]] = {"full": [], "off": []}
    question = Question(numbered=False)
    with OURS.settled() as full, OURS.settled(environ={"APP_HISTORY": "off"}) as off:
        for _ in range(5):
            for name, server in (("full", full), ("off", off)):
                load = asyncio.run(closed_loop(server.port, question.asker(NO_MODEL), 32, seconds=3))
                assert not load.failures, load.failures[0]
                per_s[name].append(load.per_s)
                print(f"history {name:5} {load.per_s:7.0f} hits/s  p99 {load.ms(99):6.1f} ms")
    ratios = [full / off for full, off in zip(per_s["full"], per_s["off"], strict=True)]
    print(f"ratio {median(ratios):.2f} (of pairs: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def main() -> None:
    end_on_signals()
    print(machine())
    if sys.argv[1:] == ["hits"]:
        hits_with_and_without()
        return
    for place in sys.argv[1:]:
        url = place if place.startswith("postgresql") else f"sqlite:///{Path(place).absolute()}"
        environ = {"DATABASE_URL": url, "APP_HISTORY_DAYS": "36500", "SECRET_KEY": "only for this benchmark " * 2}
        with OURS.settled(environ=environ) as server:
            rows = int(str(Client(server).get(f"{HISTORY}?limit=1")["next"])[1:])
            pages(server, rows)
            export(server, rows)


if __name__ == "__main__":
    main()
