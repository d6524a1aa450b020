"""What `make bench` should find. Figures are named as in the table; subjects as in `bench.subjects`."""

from dataclasses import dataclass

from bench.bounds import BOUNDS


@dataclass(frozen=True)
class Goal:
    """The figure of `subject`, or its ratio to that of `against`, is at most or at least `bound`. `aim`: what is hoped for."""

    figure: str
    relation: str
    bound: float
    against: str | None = None
    aim: float | None = None
    subject: str = "ours"

    def is_met_by(self, value: float) -> bool:
        return value <= self.bound if self.relation == "<=" else value >= self.bound

    def __str__(self) -> str:
        of = f" x {self.against}" if self.against else ""
        aim = f", aim {self.aim:g}" if self.aim is not None else ""
        return f"{self.relation} {self.bound:g}{of}{aim}"


GOALS = (
    Goal("hits, 32 connections: requests/s", ">=", 1.3, "seed", aim=1.5),
    Goal("hits, 32 connections: requests/s", ">=", 12, "litellm"),
    Goal("hits, 32 connections: p99, ms", "<=", 1, "seed"),
    Goal("hits, 1 connection: requests/s", ">=", 0.8, "seed", aim=1),
    Goal("misses, 32 connections: requests/s", ">=", 1.7, "seed"),
    Goal("misses, 32 connections: requests/s", ">=", 4, "litellm"),
    Goal("misses, 1 connection: requests/s", ">=", 1.7, "seed"),
    Goal("misses, 1 connection: requests/s", ">=", 4, "litellm"),
    Goal("500 streams: all ended after, s", "<=", 1.25, "upstream"),
    Goal("500 streams: first token p50, ms", "<=", 400),
    Goal("burst, first: wall / ideal", "<=", 1.4),
    Goal("burst, again: wall / ideal", "<=", 1.4),
    Goal("burst, again: peak PSS, MB", "<=", 220),
    Goal("hits while 300 hang: p99 / idle p99", "<=", 1.5),
    Goal("identical calls: calls to the upstream", "<=", 1),
    Goal("lone stream: added to the first token, ms", "<=", 4),
    Goal("memory: PSS with the SDK, MB", "<=", BOUNDS["memory, MB"].must),
    Goal("memory: after 1,000 streams / before", "<=", 1.3),
    Goal("start: first 200 of health, s", "<=", BOUNDS["start"].must, "smorest", aim=BOUNDS["start"].aim),
)
