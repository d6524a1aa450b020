"""How the CPU of a hit and of a miss grows with the input, the connections, the templates and the history.

    .venv/bin/python -m bench.growth [--quick] [--rows 10000,1000000] [--only NAME...]

The CPU is user and system time of the service's processes for one request, in microseconds: medians of the rounds, which
take the cases in turns. The factor is against the first case. Databases are filled once and kept in .bench/: a hundred
thousand rows take half a minute and 0.5 GB, a million take five minutes and 5 GB.
"""

import argparse
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cost import cost_us
from bench.dialects import TEXT, Question
from bench.fill import fill
from bench.rig import KEPT, ROOT, end_on_signals, machine, median, raise_file_limit
from bench.run import mark
from bench.subjects import OURS, UPSTREAM, Server
from bench.templates import copy_templates

TEMPLATE = "basic_chat_v1.prompty"
HITS, MISSES = 600, 200


@dataclass
class Case:
    """One service, and how it is asked."""

    name: str
    server: Server
    connections: int = 16
    text: str = TEXT
    hit_us: list[float] = field(default_factory=list)
    miss_us: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """One round: each hit is of the same question, each miss of another."""
        hit = Question(text=self.text, numbered=False, mark=mark())
        cost_us(self.server, hit, self.connections, self.connections)
        self.hit_us.append(self._cost_us(hit, HITS))
        self.miss_us.append(self._cost_us(replace(hit, numbered=True), MISSES))

    def _cost_us(self, question: Question, count: int) -> float:
        return cost_us(self.server, question, max(count, 2 * self.connections), self.connections)


class Rig:
    """Starts services that end with the stack."""

    def __init__(self, stack: ExitStack, upstream: Server, rows: list[int]) -> None:
        self.stack = stack
        self.upstream = upstream
        self.rows = rows

    def service(self, **environ: str) -> Server:
        return self.stack.enter_context(OURS.settled(f"{self.upstream.base}/v1", environ))

    def folder(self) -> Path:
        return Path(self.stack.enter_context(TemporaryDirectory()))


def inputs(rig: Rig) -> Iterable[Case]:
    server = rig.service(APP_INPUT_MAX_CHARS="100000")
    return [Case(f"input of {len(TEXT) * times / 1000:g} kB", server, text=TEXT * times) for times in (1, 10, 100)]


def connections(rig: Rig) -> Iterable[Case]:
    server = rig.service()
    return [Case(f"{count:,} connections", server, count) for count in (10, 100, 1000)]


def templates(rig: Rig) -> Iterable[Case]:
    for count in (1, 200):
        folder = rig.folder()
        (folder / TEMPLATE).write_bytes((ROOT / "prompts" / TEMPLATE).read_bytes())
        copy_templates(folder, count - 1)
        yield Case(f"{count} template{'s' if count > 1 else ''}", rig.service(APP_PROMPTS_DIR=str(folder)))


def history(rig: Rig) -> Iterable[Case]:
    for count in rig.rows:
        url = f"sqlite:///{filled(count)}"
        yield Case(f"{count:,} rows of history", rig.service(DATABASE_URL=url, APP_HISTORY_DAYS="36500"))


def filled(rows: int) -> Path:
    """A database with that many rows, or a few thousand more: each run adds its own."""
    folder, unfinished = KEPT / f"history-{rows}", KEPT / f"history-{rows}.unfinished"
    if not folder.exists():
        unfinished.mkdir(parents=True)
        print(f"filling {folder} with {rows:,} rows ...", flush=True)
        fill(unfinished / "bench.db", rows)
        unfinished.rename(folder)
    return folder / "bench.db"


AXES: dict[str, Callable[[Rig], Iterable[Case]]] = {
    "inputs": inputs,
    "connections": connections,
    "templates": templates,
    "history": history,
}


def show(cases: list[Case]) -> None:
    first = cases[0]
    for case in cases:
        hit, miss = median(case.hit_us), median(case.miss_us)
        print(
            f"{case.name:28} hit {hit:8.0f} us {hit / median(first.hit_us):6.2f} x"
            f"   miss {miss:8.0f} us {miss / median(first.miss_us):6.2f} x",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    parser.add_argument("--rows", default="10000,100000", help="10000,100000 if not given")
    parser.add_argument("--only", nargs="+", choices=AXES, metavar="NAME", help=f"of {', '.join(AXES)}")
    given = parser.parse_args()
    raise_file_limit()
    end_on_signals()
    print(machine())
    with UPSTREAM.running() as upstream:
        for name in given.only or AXES:
            with ExitStack() as stack:
                cases = list(AXES[name](Rig(stack, upstream, [int(rows) for rows in given.rows.split(",")])))
                for _ in range(1 if given.quick else 3):
                    for case in cases:
                        case.measure()
                show(cases)


if __name__ == "__main__":
    main()
