"""Filters and pages of the history."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..generation.model import GenerationSummary, Status
from .search import Search


@dataclass(frozen=True, slots=True)
class Filters:
    """Which generations a list shows; None = any. `since_ms` is inclusive, `until_ms` exclusive."""

    search: Search | None = None
    template_id: str | None = None
    model: str | None = None
    status: Status | None = None
    cached: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None


EVERYTHING = Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """`next` leads to older, `prev` to newer entries; None if there are none."""

    items: Sequence[GenerationSummary]
    next: str | None
    prev: str | None
