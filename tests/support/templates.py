"""Template registries over real folders."""

from collections.abc import Sequence
from pathlib import Path

from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.adapters.prompty.sources import SourceParser
from llm_service.core.errors import StorageBusy
from llm_service.core.templates.model import StoredRevision, TemplateSet, UsedRevision
from llm_service.core.templates.ports import RevisionStore, TemplateFault
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.templates.revisions import RevisionService

from .clocks import ManualClock
from .constants import ROOT

SHIPPED_FOLDER = ROOT / "prompts"
# It reads a good file once: most tests only need that there are templates.
_READ_ONCE = PromptFolder(SHIPPED_FOLDER, default_max_chars=5000)


class RecordingTemplateReporter:
    """What a registry reported: `changes` as ids, `refusals` as texts, `unkept` as errors."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.refusals: list[list[str]] = []
        self.unkept: list[OSError] = []

    def templates_changed(self, templates: TemplateSet) -> None:
        self.changes.append(templates.ids)

    def templates_refused(self, faults: Sequence[TemplateFault]) -> None:
        self.refusals.append([fault.shown for fault in faults])

    def templates_not_kept(self, error: OSError) -> None:
        self.unkept.append(error)


def registry_of(folder: Path = SHIPPED_FOLDER, heard: RecordingTemplateReporter | None = None) -> TemplateRegistry:
    source = _READ_ONCE if folder == SHIPPED_FOLDER else PromptFolder(folder, default_max_chars=5000)
    return TemplateRegistry(source, heard or RecordingTemplateReporter())


class ListRevisions:
    """A store in memory. `busy`: it refuses what it gets."""

    def __init__(self) -> None:
        self.added: list[StoredRevision] = []
        self.busy = False
        self.reads = 0

    def add(self, revision: StoredRevision) -> None:
        if self.busy:
            raise StorageBusy("locked")
        self.added.append(revision)

    def used(self, template_id: str | None) -> Sequence[UsedRevision]:
        return [each for each in self.added if template_id in (None, each.template_id)]

    def source(self, template_id: str, revision: str) -> str | None:
        self.reads += 1
        wanted = (template_id, revision)
        return next((each.source for each in self.added if (each.template_id, each.revision) == wanted), None)


def revisions_of(templates: TemplateRegistry, store: RevisionStore | None = None) -> RevisionService:
    """Without a store, only the current ones are known."""
    return RevisionService(templates, store, SourceParser(5000), ManualClock())
