"""One run of `make bench`: its options, its report, and the subjects that it has started."""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.dialects import Question
from bench.load import Ask, Load, Reply, closed_loop, failure_of
from bench.report import Report
from bench.rig import DidNotStart
from bench.subjects import SUBJECTS, UPSTREAM, NotInstalled, Server, Subject

WARM_UP_S = 0.7
# These start so slowly, or answer so slowly, that some measures ask them only in the first round.
SLOW = ("litellm",)


@dataclass
class Run:
    """The upstream runs all the time, a subject from when it is first measured: idle ones cost next to nothing."""

    rounds: int
    quick: bool
    report: Report
    stack: ExitStack
    upstream: Server
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def upstream_url(self) -> str:
        return f"{self.upstream.base}/v1"

    @property
    def load_s(self) -> float:
        """How long one load of a closed loop takes."""
        return 1.0 if self.quick else 4.0

    def turns(self, *names: str, slow_once: bool = False) -> Iterator[tuple[int, Server]]:
        """Round by round: each subject that is wanted and runs; A B C A B C ..."""
        for number in range(self.rounds):
            for name in self.wanted(names, number if slow_once else 0):
                server = self._running(SUBJECTS[name])
                if server is not None:
                    yield number, server

    def starts(self, *names: str) -> Iterator[tuple[int, Subject]]:
        """Like `turns`, of subjects that the measure starts itself."""
        for number in range(self.rounds):
            for name in self.wanted(names, number):
                yield number, SUBJECTS[name]

    def wanted(self, names: Iterable[str], round_number: int) -> list[str]:
        wanted = [name for name in names if name in self.report.subjects and name not in self.report.missing]
        return [name for name in wanted if not round_number or name not in SLOW]

    def start(self, stack: ExitStack, subject: Subject) -> Server | None:
        """None, and the reason in the report, if it cannot be started."""
        try:
            return stack.enter_context(subject.settled(self.upstream_url))
        except (NotInstalled, DidNotStart) as error:
            self.report.missing[subject.name] = " ".join(str(error).split())[:300]
            return None

    def load(self, measure: str, server: Server, ask: Ask, connections: int, seconds: float | None = None) -> Load:
        """A closed loop. Its failures make the measure invalid."""
        load = asyncio.run(closed_loop(server.port, ask, connections, seconds=seconds or self.load_s))
        self.report.fault(measure, server.name, load.failures)
        return load

    def warm_up(self, server: Server, question: Question, connections: int) -> None:
        asyncio.run(closed_loop(server.port, server.asker(question), connections, seconds=WARM_UP_S))

    def calls(self) -> int:
        """How many calls the upstream has got."""
        return self._stats()["calls"]

    def active(self) -> int:
        """How many calls the upstream has not answered yet."""
        return self._stats()["active"]

    def _stats(self) -> dict[str, int]:
        stats: dict[str, int] = json.loads(self.upstream.get("/stats"))
        return stats

    def _running(self, subject: Subject) -> Server | None:
        if subject is UPSTREAM:
            return self.upstream
        if subject.name not in self.servers:
            server = self.start(self.stack, subject)
            if server is None:
                return None
            self.servers[subject.name] = server
        return self.servers[subject.name]


def mark() -> str:
    """Tells the questions of one load from those of all others, so that none is cached."""
    return f"t{time.monotonic_ns():x}"


def failures(server: Server, question: Question, replies: Sequence[Reply]) -> list[str]:
    """One line for each reply that is not the whole answer to its number."""
    good = (server.dialect.is_whole(reply, question.answer(number)) for number, reply in enumerate(replies))
    return [failure_of(reply.response) for reply, is_good in zip(replies, good, strict=True) if not is_good]
