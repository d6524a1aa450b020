"""Template registries over real folders."""

from collections.abc import Sequence
from pathlib import Path

from llm_service.adapters.prompty.folder import PromptFolder
from llm_service.core.templates.model import TemplateSet
from llm_service.core.templates.ports import TemplateFault
from llm_service.core.templates.registry import TemplateRegistry

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
