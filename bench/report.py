"""The figures of a run: collected round by round, printed as one table with a verdict for each goal, and kept as JSON."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.goals import GOALS, Goal
from bench.rig import median

LABEL_WIDTH, CELL_WIDTH = 44, 10


@dataclass
class Verdict:
    """`value` is None where the goal could not be judged; `word` says why."""

    goal: Goal
    value: float | None
    word: str


@dataclass
class Report:
    """`rounds`: figure, subject, one value a round. `missing`: why a subject was not measured.

    A figure is named `MEASURE: WHAT`; a fault makes the subject's whole measure invalid.
    """

    subjects: list[str]
    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    faults: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def note(self, figure: str, subject: str, value: float) -> None:
        """NaN, of a load without an answer, is left out."""
        if math.isnan(value):
            return
        self.rounds.setdefault(figure, {}).setdefault(subject, []).append(value)

    def fault(self, measure: str, subject: str, failures: Iterable[str]) -> None:
        """Nothing, if there were no failures."""
        if found := list(failures):
            text = f"{len(found)} failed: {found[0]}"
            self.faults.setdefault(measure, {}).setdefault(subject, []).append(text)

    def is_valid(self, figure: str, subject: str) -> bool:
        return subject not in self.faults.get(figure.partition(":")[0], {})

    def median(self, figure: str, subject: str) -> float | None:
        values = self.rounds.get(figure, {}).get(subject)
        return median(values) if values and self.is_valid(figure, subject) else None

    def ratio(self, figure: str, subject: str, against: str) -> float | None:
        """The median of the rounds' ratios: what slows a whole round down does not count."""
        if self.median(figure, subject) is None or self.median(figure, against) is None:
            return None
        of = self.rounds[figure]
        return median(mine / theirs for mine, theirs in zip(of[subject], of[against], strict=False))

    def verdict(self, goal: Goal) -> Verdict:
        involved = [goal.subject, *([goal.against] if goal.against else [])]
        if any(not self.is_valid(goal.figure, subject) for subject in involved):
            return Verdict(goal, None, "INVALID")
        if goal.against:
            value = self.ratio(goal.figure, goal.subject, goal.against)
        else:
            value = self.median(goal.figure, goal.subject)
        if value is None:
            return Verdict(goal, None, "not measured")
        return Verdict(goal, value, "ok" if goal.is_met_by(value) else "MISSED")

    def verdicts(self) -> list[Verdict]:
        """Of the figures that this run was to measure."""
        return [self.verdict(goal) for goal in GOALS if self._names(goal.figure)]

    def table(self) -> str:
        shown = [name for name in self.subjects if any(name in found for found in self.rounds.values())]
        lines = [" " * LABEL_WIDTH + "".join(name.rjust(CELL_WIDTH) for name in shown)]
        for figure in self.rounds:
            cells = (self._cell(figure, subject) for subject in shown)
            lines.append(figure.ljust(LABEL_WIDTH) + "".join(cell.rjust(CELL_WIDTH) for cell in cells))
            lines += [_verdict_line(self.verdict(goal)) for goal in GOALS if goal.figure == figure]
        lines += [f"{name}: not measured: {why}" for name, why in self.missing.items()]
        for measure, found in self.faults.items():
            lines += [f"invalid: {measure}, {subject}: {text}" for subject, texts in found.items() for text in texts]
        return "\n".join(lines)

    def write(self, path: Path, about: dict[str, object]) -> None:
        path.parent.mkdir(exist_ok=True)
        verdicts = [{**asdict(verdict.goal), "value": verdict.value, "is": verdict.word} for verdict in self.verdicts()]
        content = {**about, "rounds": self.rounds, "goals": verdicts, "faults": self.faults, "missing": self.missing}
        path.write_text(json.dumps(content, indent=1) + "\n")

    def _names(self, figure: str) -> bool:
        return figure in self.rounds or figure.partition(":")[0] in self.faults

    def _cell(self, figure: str, subject: str) -> str:
        if not self.is_valid(figure, subject):
            return "invalid"
        value = self.median(figure, subject)
        return "-" if value is None else number(value)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _verdict_line(verdict: Verdict) -> str:
    goal = verdict.goal
    value = "-" if verdict.value is None else number(verdict.value)
    against = f" / {goal.against}" if goal.against else ""
    return f"    {goal.subject}{against} = {value}   goal {goal}   {verdict.word}"
