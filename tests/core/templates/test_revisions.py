"""Used revisions are kept once each, and come back as templates."""

from pathlib import Path

import pytest

from llm_service.core.errors import InvalidInput, NotFound
from llm_service.core.templates.model import StoredRevision
from llm_service.core.templates.registry import TemplateRegistry
from llm_service.core.templates.revisions import RevisionService
from tests.support.clocks import NOW_MS
from tests.support.constants import ROOT
from tests.support.templates import ListRevisions, registry_of, revisions_of

SOURCE = (ROOT / "prompts" / "summarize_v1.prompty").read_text()


@pytest.fixture(name="store")
def _store() -> ListRevisions:
    return ListRevisions()


@pytest.fixture(name="edited")
def _edited(tmp_path: Path) -> TemplateRegistry:
    """Its one template is to be edited: `edit`."""
    (tmp_path / "summarize_v1.prompty").write_text(SOURCE)
    return registry_of(tmp_path)


def edit(templates: TemplateRegistry, folder: Path) -> str:
    """Returns the old revision."""
    old = templates.current.get("summarize_v1").revision
    (folder / "summarize_v1.prompty").write_text(SOURCE.replace("name: Summarize", "name: Shorten"))
    assert templates.refresh()
    return old


def test_a_used_revision_is_stored_once(store: ListRevisions) -> None:
    templates = registry_of()
    template = templates.current.get("summarize_v1")
    revisions = revisions_of(templates, store)
    for _ in range(3):
        revisions.keep(template)
    assert store.added == [StoredRevision("summarize_v1", template.revision, NOW_MS, template.source)]
    assert [each.revision for each in revisions.used("summarize_v1")] == [template.revision]
    assert revisions.used("basic_chat_v1") == []


def test_a_store_that_is_busy_gets_it_with_the_next_request(store: ListRevisions) -> None:
    templates = registry_of()
    template, revisions = templates.current.get("summarize_v1"), revisions_of(templates, store)
    store.busy = True
    revisions.keep(template)
    store.busy = False
    revisions.keep(template)
    assert len(store.added) == 1


def test_without_a_store_only_the_current_ones_are_known() -> None:
    templates = registry_of()
    template, revisions = templates.current.get("summarize_v1"), revisions_of(templates)
    revisions.keep(template)
    assert revisions.used() == []
    assert revisions.source("summarize_v1", template.revision) == template.source
    assert revisions.template("summarize_v1", template.revision) is template
    with pytest.raises(NotFound):
        revisions.source("summarize_v1", "0" * 12)


def test_an_old_revision_comes_back_as_it_was(store: ListRevisions, edited: TemplateRegistry, tmp_path: Path) -> None:
    revisions, template = revisions_of(edited, store), edited.current.get("summarize_v1")
    revisions.keep(template)
    old = edit(edited, tmp_path)
    assert revisions.source("summarize_v1", old) == SOURCE
    again = revisions.template("summarize_v1", old)
    assert (again.name, again.revision, again.source) == (template.name, old, SOURCE)
    assert again.render("Hi", {}) == template.render("Hi", {})
    assert revisions.template("summarize_v1", old) is again
    assert store.reads == 2


def test_what_is_not_stored_or_no_longer_loads_is_said(store: ListRevisions) -> None:
    templates = registry_of()
    revisions = revisions_of(templates, store)
    with pytest.raises(InvalidInput, match="revision") as missing:
        revisions.template("summarize_v1", "0" * 12)
    assert missing.value.fields[0].message == "is not stored"
    store.added.append(
        StoredRevision("summarize_v1", "1" * 12, 1, SOURCE.replace("name: Summarize", "nome: Summarize"))
    )
    with pytest.raises(InvalidInput) as broken:
        revisions.template("summarize_v1", "1" * 12)
    assert broken.value.fields[0].message == "can no longer be loaded: line 2: name is missing"


@pytest.mark.parametrize("revision", ["", "x", "' OR 1=1 --", "\x00" * 12, "a" * 13, "A" * 12])
def test_no_other_text_is_looked_up(store: ListRevisions, revision: str) -> None:
    revisions = revisions_of(registry_of(), store)
    for template_id in ("summarize_v1", "\x00", "../x"):
        with pytest.raises(NotFound):
            revisions.source(template_id, revision)
    assert store.reads == 0


def test_the_source_says_who_it_is_not_the_program(store: ListRevisions) -> None:
    """Another version of the program may compute another hash of it."""
    store.added.append(StoredRevision("summarize_v1", "2" * 12, 1, SOURCE))
    templates = registry_of()
    assert revisions_of(templates, store).template("summarize_v1", "2" * 12).revision == "2" * 12


def test_of_a_template_that_is_gone_the_source_stays(store: ListRevisions) -> None:
    store.added.append(StoredRevision("gone_v1", "3" * 12, 1, SOURCE))
    revisions: RevisionService = revisions_of(registry_of(), store)
    assert revisions.source("gone_v1", "3" * 12) == SOURCE
