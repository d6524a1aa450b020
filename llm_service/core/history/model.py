"""Filters and pages of the history."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..generation.model import GenerationSummary, Status
from .search import Search


@dataclass(frozen=True, slots=True)
class Filters:
    """Which generations a list shows; None = any. `since_ms` is inclusive, `until_ms` exclusive.

    `request_ids`: only these, for actions on selected rows.
    """

    search: Search | None = None
    template_id: str | None = None
    model: str | None = None
    status: Status | None = None
    cached: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    starred: bool | None = None
    tag: str | None = None
    request_ids: tuple[str, ...] | None = None


EVERYTHING = Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """`next` leads to older, `prev` to newer entries; None if there are none."""

    items: Sequence[GenerationSummary]
    next: str | None
    prev: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many generations match. `is_capped`: there are more, and they were not counted.

    `scanned`: only so many of the newest generations were looked at; None = all.
    """

    number: int
    is_capped: bool = False
    scanned: int | None = None


@dataclass(frozen=True, slots=True)
class MarkChanges:
    """What to change about a generation's marks; None = leave it."""

    starred: bool | None = None
    tags: tuple[str, ...] | None = None
