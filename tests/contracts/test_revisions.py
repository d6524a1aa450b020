"""What the store of used template revisions promises, on each engine."""

from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.revisions import SqlRevisions
from llm_service.core.templates.model import StoredRevision, UsedRevision
from llm_service.core.templates.ports import RevisionStore
from tests.support.constants import POOLED_ENGINES

OLD = StoredRevision("chat_v1", "0" * 12, 1000, "---\nname: Chat\n---\nuser:\n{{ input }} 日本語 😀 \u2028")
NEW = StoredRevision("chat_v1", "1" * 12, 2000, "new")
OTHER = StoredRevision("other_v1", "0" * 12, 1500, "other")


@pytest.fixture(name="store", params=POOLED_ENGINES)
def _store(request: pytest.FixtureRequest, new_database_of: Callable[[str], Database]) -> Iterator[RevisionStore]:
    database = new_database_of(request.param)
    yield SqlRevisions(database)
    database.close()


def summary(revision: StoredRevision) -> UsedRevision:
    return UsedRevision(revision.template_id, revision.revision, revision.first_used_ms)


def test_it_gives_back_what_it_got(store: RevisionStore) -> None:
    for revision in (OLD, OTHER, NEW):
        store.add(revision)
    assert store.used(None) == [summary(each) for each in (NEW, OTHER, OLD)]
    assert store.used("chat_v1") == [summary(each) for each in (NEW, OLD)]
    assert store.used("nope") == []
    assert store.source("chat_v1", OLD.revision) == OLD.source
    assert store.source("other_v1", OLD.revision) == "other"
    assert store.source("other_v1", NEW.revision) is None


def test_the_first_use_stays(store: RevisionStore) -> None:
    store.add(OLD)
    store.add(StoredRevision(OLD.template_id, OLD.revision, 5000, "another text"))
    assert store.used(None) == [summary(OLD)]
    assert store.source(OLD.template_id, OLD.revision) == OLD.source


def test_several_processes_add_the_same_one(store: RevisionStore) -> None:
    threads = [Thread(target=store.add, args=(OLD,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store.used(None) == [summary(OLD)]
