"""Greenlets that each ask Redis for what only they wrote: `python -m tests.support.redis_callers URL ANSWERS killed|frozen`."""

from gevent import monkey

monkey.patch_all()

import random  # noqa: E402
import sys  # noqa: E402
import uuid  # noqa: E402
from collections import Counter  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from llm_service.adapters.redis.client import RedisAway, RedisClient  # noqa: E402
from llm_service.adapters.runtime.clock import SystemClock  # noqa: E402
from tests.support.fakes import RecordingReporter  # noqa: E402

AT_ONCE = 40
SEED = 7


class Callers:
    def __init__(self, url: str, answers: int, kills: bool) -> None:
        self.reporter = RecordingReporter()
        self.client = RedisClient(url, uuid.uuid4().hex, SystemClock(), self.reporter)
        self.left, self.kills, self.counts = answers, kills, Counter[str]()
        self._random = random.Random(SEED)

    def run(self) -> Counter[str]:
        greenlets = [gevent.spawn(self._supervise) for _ in range(AT_ONCE)]
        ticking = gevent.spawn(self._tick)
        gevent.joinall(greenlets)
        ticking.kill()
        self.client.close()
        self.counts["frozen"] = self.reporter.redis.count("back")
        return self.counts

    def _tick(self) -> None:
        while True:
            gevent.sleep(0.1)
            self.client.tick()

    def _supervise(self) -> None:
        while self.left > 0:
            caller = gevent.spawn(self._ask)
            if self.kills:
                gevent.sleep(self._random.random() * 0.2)
                self.counts["killed"] += not caller.ready()
                caller.kill()
            else:
                caller.join()

    def _ask(self) -> None:
        for _ in range(20):
            nonce = uuid.uuid4().hex
            size = self._random.choice((1, 100, 20_000))
            try:
                answer = self.client.run(lambda server, nonce=nonce, size=size: self._command(server, nonce, size))  # type: ignore[misc]
            except RedisAway:
                gevent.sleep(0.01)
            else:
                self.left -= 1
                self.counts["right" if answer == f"{nonce * size}".encode() else "mismatches"] += 1

    def _command(self, server: Any, nonce: str, size: int) -> object:
        """A command, a script or a pipeline: each answer is what was sent."""
        kind = self._random.randrange(3)
        if kind == 0:
            return server.echo(nonce * size)
        if kind == 1:
            return server.eval("return ARGV[1]", 0, nonce * size)
        with server.pipeline(transaction=False) as pipeline:
            pipeline.echo("other").echo(nonce * size)
            return pipeline.execute()[1]


if __name__ == "__main__":
    counts = Callers(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "killed").run()
    for name in ("right", "mismatches", "killed", "frozen"):
        print(name, counts[name])
