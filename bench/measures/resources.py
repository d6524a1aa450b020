"""Seconds until a server answers, and its memory. Each subject runs alone."""

import asyncio
import time
from contextlib import ExitStack

from bench.dialects import Question
from bench.load import closed_loop
from bench.measures.streams import stream_all
from bench.run import Run, failures, mark

WARM_CALLS = 20


def start(run: Run) -> None:
    """From the command to the first 200 of health; the service creates its database as well."""
    for _, subject in run.starts("smorest", "flask", "ours", "seed", "litellm"):
        with ExitStack() as stack:
            server = run.start(stack, subject)
            if server is not None:
                run.report.note("start: first 200 of health, s", subject.name, server.start_s)


def memory(run: Run) -> None:
    """The tree's PSS after a few calls, and after 1,000 streams of those that stream."""
    measure = "memory"
    for _, subject in run.starts("smorest", "ours", "seed", "litellm"):
        with ExitStack() as stack:
            server = run.start(stack, subject)
            if server is None:
                continue
            load = asyncio.run(closed_loop(server.port, server.asker(Question(mark=mark())), 4, count=WARM_CALLS))
            run.report.fault(measure, server.name, load.failures)
            before_mb = server.pss_mb()
            run.report.note(f"{measure}: PSS with the SDK, MB", server.name, before_mb)
            if server.name == "ours":
                for _ in range(2):
                    question = Question(tokens=20, per_s=20, mark=mark())
                    replies, _ = stream_all(server, question, 500)
                    run.report.fault(measure, server.name, failures(server, question, replies))
                time.sleep(1)
                run.report.note(f"{measure}: after 1,000 streams / before", server.name, server.pss_mb() / before_mb)
