"""Why a file cannot be imported."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1; 0 = it concerns the whole file. `remedy`: what to change in the file."""

    line: int
    message: str
    remedy: str


class ImportRefused(Exception):
    """`faults`: all that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)
