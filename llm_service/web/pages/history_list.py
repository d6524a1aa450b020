"""The list of the history: its filters on the page, the options of its form, and what its templates need."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import request

from llm_service.core.clock import DAY_MS
from llm_service.core.dates import optional_moment
from llm_service.core.generation.model import Status
from llm_service.core.history.model import Count, Filters, Page

from ..context import caller, owner, services
from ..filters import FILTER_NAMES, read_filters
from ..schemas.history import EXPORT_FORMATS
from .labels import FILTER_LABELS, FLAG_LABELS, STATUS_LABELS

PAGE = 50
PATH = "/history"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def given_filters() -> dict[str, str]:
    """The filters in the address that have a value."""
    return {name: text for name in FILTER_NAMES if (text := request.args.get(name, "").strip())}


def page_filters(given: Mapping[str, str]) -> Filters:
    """As the API's, except that the day in `until` is included: this is what "to" says to people.

    Raises `InvalidInput` or `InvalidCharacter`, naming the field.
    """
    until = given.get("until")
    if until is None or not _DAY.fullmatch(until):
        return read_filters(given)
    last_ms = optional_moment("until", until)
    assert last_ms is not None
    return replace(read_filters({**given, "until": None}), until_ms=last_ms + DAY_MS)


def address(path: str, given: Mapping[str, str], **changes: str | None) -> str:
    """A link that keeps the given filters, with changes; None removes a filter."""
    query = {name: value for name, value in {**given, **changes}.items() if value}
    return f"{path}?{urlencode(query)}" if query else path


def way_back(default: str = PATH) -> str:
    """Where a form of these pages was sent from, as it says in `back`: only the history's own addresses."""
    text = request.form.get("back", "")
    place = urlsplit(text)
    is_own = not place.scheme and not place.netloc and (place.path == PATH or place.path.startswith(f"{PATH}/"))
    return text if is_own and text.isascii() and text.isprintable() else default


def with_notice(back: str, notice: str, count: int | None = None) -> str:
    """The address with a message for the page to show; `notice` is one of `history/_notice.html`."""
    place = urlsplit(back)
    number = {} if count is None else {"count": str(count)}
    query = "&".join(part for part in (place.query, urlencode({"notice": notice, **number})) if part)
    return f"{place.path}?{query}"


def list_context() -> dict[str, Any]:
    """What `history/_rows.html` shows."""
    given = given_filters()
    filters = page_filters(given)
    cursor = request.args.get("cursor")
    page = services().history.page(owner(), cursor, PAGE, filters)
    return {
        "page": page,
        "count": _count(page, filters),
        "running": [item.request_id for item in page.items if item.status is Status.RUNNING],
        "here": address(PATH, given, cursor=cursor),
        "search": filters.search,
        **row_context(given),
        "filter_labels": FILTER_LABELS,
        "filter_values": {name: _label(name, value) for name, value in given.items()},
        "formats": list(EXPORT_FORMATS),
    }


def _count(page: Page, filters: Filters) -> Count:
    """Counted only if there are other pages: a search costs as much again."""
    if page.next is None and page.prev is None:
        return Count(len(page.items))
    return services().history.count(owner(), filters)


def row_context(given: Mapping[str, str]) -> dict[str, Any]:
    """What a row shows: its link keeps the filters."""
    return {"given": given, "address": address, "query": address("", given)}


def choices() -> dict[str, Any]:
    """The options of the filter form: the current ones, with the fallbacks that may have answered, and the chosen one.

    That may belong to older rows only.
    """
    chosen = {
        name: [text] if (text := request.args.get(name, "").strip()) else [] for name in ("template_id", "model", "tag")
    }
    has = services().models.of(caller())
    models = [has.stand_in or has.default, *has.listed_with_fallbacks]
    tags = dict(services().history.used_tags(owner()))
    return {
        "template_ids": [(name, name) for name in sorted({*services().templates.ids, *chosen["template_id"]})],
        "model_names": [(name, name) for name in dict.fromkeys([*models, *chosen["model"]])],
        "states": [(status.value, label) for status, label in STATUS_LABELS.items()],
        "flags": {name: list(labels.items()) for name, labels in FLAG_LABELS.items()},
        "tags": [
            (tag, f"{tag} ({tags[tag]:,})" if tag in tags else tag) for tag in dict.fromkeys([*tags, *chosen["tag"]])
        ],
    }


def _label(name: str, value: str) -> str:
    if name == "status":
        return STATUS_LABELS[Status(value)]
    return FLAG_LABELS[name][value] if name in FLAG_LABELS else value
