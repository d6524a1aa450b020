"""The revisions of templates that were used: their files may have changed since, or be gone."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from ..clock import Clock
from ..errors import FieldError, InvalidInput, NotFound, StorageError, UnknownTemplate
from .model import TEMPLATE_ID, StoredRevision, Template, UsedRevision
from .ports import ParseTemplate, RevisionStore, TemplateFaults
from .registry import TemplateRegistry

# Parsed revisions that are kept in memory.
MAX_PARSED = 32
_REVISION = re.compile("[0-9a-f]{12}")


class RevisionService:
    """Keeps the source of each revision that is used, and gives it back."""

    def __init__(
        self, templates: TemplateRegistry, store: RevisionStore | None, parse: ParseTemplate, clock: Clock
    ) -> None:
        """`store` None = none are kept: only the current revisions are known."""
        self._templates = templates
        self._store = store
        self._parse = parse
        self._clock = clock
        self._kept: set[tuple[str, str]] = set()
        self._parsed = lru_cache(maxsize=MAX_PARSED)(self._load)

    def keep(self, template: Template) -> None:
        """Call it for every request: after the first one this is a look into a set.

        A store that cannot take it now gets it with the next request.
        """
        used = template.template_id, template.revision
        if used in self._kept or self._store is None:
            return
        with suppress(StorageError):
            self._store.add(StoredRevision(*used, self._clock.now_ms(), template.source))
            self._kept.add(used)

    def used(self, template_id: str | None = None) -> Sequence[UsedRevision]:
        """The used revisions of a template, or of all, the newest first. Raises `StorageError`."""
        return [] if self._store is None else self._store.used(template_id)

    def source(self, template_id: str, revision: str) -> str:
        """The text of the file. Raises `NotFound`, or `StorageError`."""
        current = self._current(template_id)
        if current is not None and current.revision == revision:
            return current.source
        can_exist = TEMPLATE_ID.fullmatch(template_id) and _REVISION.fullmatch(revision)
        stored = self._store.source(template_id, revision) if self._store and can_exist else None
        if stored is None:
            raise NotFound(f"No source of revision {revision[:64]!r} is stored. A revision is stored when it is used.")
        return stored

    def template(self, template_id: str, revision: str) -> Template:
        """The template as it was in this revision.

        Raises `InvalidInput` if it is not stored, or can no longer be loaded.
        """
        current = self._current(template_id)
        if current is not None and current.revision == revision:
            return current
        return self._parsed(template_id, revision)

    def _load(self, template_id: str, revision: str) -> Template:
        try:
            # What identifies it is its source: another version of the program may compute another hash.
            return replace(self._parse(template_id, self.source(template_id, revision)), revision=revision)
        except NotFound:
            raise InvalidInput.of([FieldError("revision", "is not stored")]) from None
        except TemplateFaults as error:
            fault = error.faults[0]
            where = f"line {fault.line}: " if fault.line else ""
            raise InvalidInput.of(
                [FieldError("revision", f"can no longer be loaded: {where}{fault.message}")]
            ) from None

    def _current(self, template_id: str) -> Template | None:
        try:
            return self._templates.current.get(template_id)
        except UnknownTemplate:
            return None
