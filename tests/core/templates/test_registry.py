"""Swapping templates: whole or not at all."""

from llm_service.core.templates.model import TemplateSet
from llm_service.core.templates.ports import TemplateFault, TemplateFaults
from llm_service.core.templates.registry import TemplateRegistry
from tests.support.templates import RecordingTemplateReporter, registry_of

SHIPPED = registry_of().current
FAULT = TemplateFault("/somewhere/prompts/x_v1.prompty", 7, "is wrong")


class Source:
    """Gives what it is told to give; counts how often it is read."""

    def __init__(self, given: TemplateSet | TemplateFaults) -> None:
        self.given = given
        self.reads = 0
        self.is_changed = False
        self.kept: TemplateSet | None = None

    def changed(self) -> bool:
        return self.is_changed

    def save_last_good(self, templates: TemplateSet) -> None:
        self.kept = templates

    def load_last_good(self) -> TemplateSet | None:
        return self.kept

    def load(self) -> TemplateSet:
        self.reads += 1
        if isinstance(self.given, TemplateFaults):
            raise self.given
        return self.given


def test_nothing_is_read_while_nothing_changes() -> None:
    source = Source(SHIPPED)
    registry = TemplateRegistry(source, RecordingTemplateReporter())
    assert not registry.refresh()
    assert (source.reads, registry.current, registry.faults) == (1, SHIPPED, ())


def test_a_good_change_is_taken_over_whole() -> None:
    source, heard = Source(SHIPPED), RecordingTemplateReporter()
    registry = TemplateRegistry(source, heard)
    source.given, source.is_changed = TemplateSet({"a_v1": SHIPPED.get("summarize")}), True
    assert registry.refresh()
    assert registry.current is source.given
    assert heard.changes == [["a_v1"]]


def test_a_bad_change_leaves_the_last_good_set() -> None:
    source, heard = Source(SHIPPED), RecordingTemplateReporter()
    registry = TemplateRegistry(source, heard)
    source.given, source.is_changed = TemplateFaults([FAULT]), True
    assert registry.refresh()
    assert (registry.current, registry.faults) == (SHIPPED, (FAULT,))
    assert heard.refusals == [["x_v1.prompty:7: is wrong"]]
    source.given = SHIPPED
    registry.refresh()
    assert registry.faults == ()
