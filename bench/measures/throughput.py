"""Requests per second of a closed loop: cache hits, and misses of 60 tokens with an upstream that waits for nothing."""

from bench.dialects import Question
from bench.load import Load
from bench.run import Run, mark
from bench.subjects import Server

CONNECTIONS = (32, 1)
# Two processes have a cache each: one may see the question for the first time after the warm-up.
FIRST_CALLS = 1


def named(what: str, connections: int) -> str:
    return f"{what}, {connections} connection{'s' if connections > 1 else ''}"


def hits(run: Run) -> None:
    for connections in CONNECTIONS:
        measure, question = named("hits", connections), Question(numbered=False, mark=mark())
        for _, server in run.turns("ours", "ours-2w", "smorest", "flask", "seed", "litellm"):
            run.warm_up(server, question, 32)
            calls = run.calls()
            load = run.load(measure, server, server.asker(question), connections)
            run.report.fault(measure, server.name, ["not a hit"] * (run.calls() - calls - FIRST_CALLS))
            _note(run, measure, server, load)


def misses(run: Run) -> None:
    for connections in CONNECTIONS:
        measure = named("misses", connections)
        for _, server in run.turns("ours", "ours-2w", "seed", "litellm"):
            run.warm_up(server, Question(mark=mark()), connections)
            calls, upstream_s = run.calls(), run.upstream.cpu_s()
            load = run.load(measure, server, server.asker(Question(mark=mark())), connections)
            run.report.fault(measure, server.name, ["not a miss"] * (len(load.times_s) - run.calls() + calls))
            _note(run, measure, server, load)
            upstream_us = (run.upstream.cpu_s() - upstream_s) / max(1, len(load.times_s)) * 1e6
            run.report.note(f"{measure}: upstream's CPU, us", server.name, upstream_us)


def _note(run: Run, measure: str, server: Server, load: Load) -> None:
    run.report.note(f"{measure}: requests/s", server.name, load.per_s)
    run.report.note(f"{measure}: p50, ms", server.name, load.ms(50))
    run.report.note(f"{measure}: p99, ms", server.name, load.ms(99))
    generator_us = load.generator_cpu_s / max(1, len(load.times_s)) * 1e6
    run.report.note(f"{measure}: generator's CPU, us", server.name, generator_us)
