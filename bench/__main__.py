"""Measure everything: `make bench`, or `make bench ARGS="--quick --only hits"`.

Starts the upstream, the subjects and the load generator (this process), asks the subjects in turns, and prints the
medians of the rounds, the goals, and whether they are met. All the rounds are in bench/results/.
"""

import argparse
import time
from contextlib import ExitStack
from datetime import UTC, datetime

from bench.measures import MEASURES
from bench.report import Report
from bench.rig import ROOT, end_on_signals, machine, raise_file_limit
from bench.run import Run
from bench.subjects import SUBJECTS, UPSTREAM

SHARED = (
    "Load generator, upstream and subject share these cores: figures with two workers are lower bounds, and only ratios of "
    "one run can be compared."
)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, and short ones: for trying it out")
    parser.add_argument("--rounds", type=int, help="3 if not given, 1 with --quick")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, metavar="NAME", help=f"of {', '.join(SUBJECTS)}")
    return parser.parse_args()


def main() -> None:
    given = options()
    raise_file_limit()
    end_on_signals()
    began, rounds = time.monotonic(), given.rounds or (1 if given.quick else 3)
    report = Report([name for name in SUBJECTS if name in (given.subjects or SUBJECTS) or name == UPSTREAM.name])
    print(f"{machine()}\n{SHARED}", flush=True)
    with ExitStack() as stack:
        upstream = stack.enter_context(UPSTREAM.running())
        run = Run(rounds, given.quick, report, stack, upstream)
        for name in given.only or MEASURES:
            print(f"{time.monotonic() - began:5.0f} s  {name}", flush=True)
            MEASURES[name](run)
    took_s = time.monotonic() - began
    print(f"\n{report.table()}\n\n{rounds} round{'s' if rounds > 1 else ''}, {took_s:.0f} s")
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    path = ROOT / f"bench/results/{stamp}.json"
    report.write(path, {"at": stamp, "machine": machine(), "rounds": rounds, "quick": given.quick, "seconds": took_s})
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
