"""The bounds of `bench/bounds.toml`."""

import tomllib
from dataclasses import dataclass

from bench.rig import ROOT


@dataclass(frozen=True)
class Bound:
    must: float
    aim: float | None = None


BOUNDS = {name: Bound(**values) for name, values in tomllib.loads((ROOT / "bench/bounds.toml").read_text()).items()}
