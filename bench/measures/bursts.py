"""Many calls at the same moment: slow ones, hanging ones beside hits, and identical ones."""

import asyncio
import time
from contextlib import ExitStack

from bench.dialects import Question
from bench.load import Load, Reply, all_at_once, closed_loop
from bench.rig import PeakPss
from bench.run import Run, failures, mark
from bench.subjects import Server

CALLS, SECONDS = 1000, 5.0
HANGING, HANG_S = 300, 10.0
IDENTICAL = 100
HIT_CONNECTIONS = 8


def burst(run: Run) -> None:
    """1,000 calls of 5 s, right after a start and again."""
    for _, subject in run.starts("ours"):
        with ExitStack() as stack:
            # The process is fresh, but has loaded what it loads after its start.
            server = run.start(stack, subject)
            if server is not None:
                for turn in ("first", "again"):
                    _one_burst(run, server, f"burst, {turn}")


def _one_burst(run: Run, server: Server, measure: str) -> None:
    question = Question(delay_s=SECONDS, mark=mark())
    with PeakPss(server.pid) as peak:
        replies, wall_s = asyncio.run(all_at_once(server.port, server.requests(question, range(CALLS))))
    run.report.fault(measure, server.name, failures(server, question, replies))
    run.report.note(f"{measure}: wall / ideal", server.name, wall_s / SECONDS)
    run.report.note(f"{measure}: peak PSS, MB", server.name, peak.mb)


def hang(run: Run) -> None:
    """Hits of 8 connections, first alone and then while 300 calls wait for 10 s each."""
    measure = f"hits while {HANGING} hang"
    for _, server in run.turns("ours"):
        hit, hanging = Question(numbered=False, mark=mark()), Question(delay_s=HANG_S, mark=mark())
        run.warm_up(server, hit, HIT_CONNECTIONS)
        idle = run.load(measure, server, server.asker(hit), HIT_CONNECTIONS)
        busy, replies = asyncio.run(_hits_meanwhile(run, server, hit, hanging))
        run.report.fault(measure, server.name, busy.failures + failures(server, hanging, replies))
        run.report.note(f"{measure}: idle p99, ms", server.name, idle.ms(99))
        run.report.note(f"{measure}: p99, ms", server.name, busy.ms(99))
        run.report.note(f"{measure}: p99 / idle p99", server.name, busy.ms(99) / idle.ms(99))


async def _hits_meanwhile(run: Run, server: Server, hit: Question, hanging: Question) -> tuple[Load, list[Reply]]:
    waiting = asyncio.ensure_future(all_at_once(server.port, server.requests(hanging, range(HANGING))))
    until = time.monotonic() + HANG_S / 2
    while run.active() < HANGING and time.monotonic() < until:
        await asyncio.sleep(0.1)
    hanging_now = run.active()
    load = await closed_loop(server.port, server.asker(hit), HIT_CONNECTIONS, seconds=run.load_s)
    if min(hanging_now, run.active()) < HANGING:
        load.failures.append(f"not all {HANGING} calls hung during the hits")
    return load, (await waiting)[0]


def identical(run: Run) -> None:
    """100 times the same call of a second, at the same moment."""
    measure = "identical calls"
    for _, server in run.turns("ours", "ours-2w", "seed", "litellm"):
        question = Question(numbered=False, delay_s=1, mark=mark())
        calls = run.calls()
        replies, wall_s = asyncio.run(all_at_once(server.port, server.requests(question, range(IDENTICAL))))
        run.report.fault(measure, server.name, failures(server, question, replies))
        run.report.note(f"{measure}: calls to the upstream", server.name, run.calls() - calls)
        run.report.note(f"{measure}: all ended after, s", server.name, wall_s)
