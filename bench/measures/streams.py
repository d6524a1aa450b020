"""Event streams, against the same streams of the upstream itself."""

import asyncio

from bench.dialects import Question
from bench.load import Reply, all_at_once, one_by_one
from bench.rig import median, percentile
from bench.run import Run, failures, mark
from bench.subjects import Server

STREAMS, TOKENS, PER_S = 500, 50, 20


def streams(run: Run) -> None:
    """500 at once, of 50 tokens at 20 a second."""
    measure = f"{STREAMS} streams"
    for _, server in run.turns("upstream", "ours", "ours-2w", "litellm", slow_once=True):
        question = Question(tokens=TOKENS, per_s=PER_S, mark=mark())
        run.warm_up(server, Question(mark=mark()), 4)
        replies, wall_s = stream_all(server, question, STREAMS)
        run.report.fault(measure, server.name, failures(server, question, replies))
        run.report.note(f"{measure}: all ended after, s", server.name, wall_s)
        first_ms = [reply.first_s * 1000 for reply in replies if reply.first_s is not None]
        for percent in (50, 99):
            value = percentile(first_ms, percent) if first_ms else 0.0
            run.report.note(f"{measure}: first token p{percent}, ms", server.name, value)


def stream_all(server: Server, question: Question, count: int) -> tuple[list[Reply], float]:
    requests = server.requests(question, range(count), stream=True)
    return asyncio.run(all_at_once(server.port, requests, server.dialect.mark))


def lone(run: Run) -> None:
    """One stream at a time: how much later than from the upstream itself the first token comes, medians of a round."""
    measure, direct_ms = "lone stream", list[float]()
    for _, server in run.turns("upstream", "ours", "ours-2w", "litellm"):
        question = Question(tokens=5, mark=mark())
        run.warm_up(server, Question(mark=mark()), 1)
        requests = server.requests(question, range(10 if run.quick else 50), stream=True)
        replies = asyncio.run(one_by_one(server.port, requests, server.dialect.mark))
        run.report.fault(measure, server.name, failures(server, question, replies))
        first_ms = median([(reply.first_s or 0.0) * 1000 for reply in replies])
        run.report.note(f"{measure}: first token, ms", server.name, first_ms)
        if server is run.upstream:
            direct_ms.append(first_ms)
        elif direct_ms:
            run.report.note(f"{measure}: added to the first token, ms", server.name, first_ms - direct_ms[-1])
