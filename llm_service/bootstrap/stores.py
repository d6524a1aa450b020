"""The stores on one database, depending on the settings."""

from dataclasses import dataclass

from llm_service.adapters.sql.database import Database
from llm_service.adapters.sql.generations import SqlGenerations
from llm_service.adapters.sql.idempotency import SqlIdempotency
from llm_service.adapters.sql.marks import SqlMarks
from llm_service.adapters.sql.null_history import NullGenerations
from llm_service.adapters.sql.queries import SqlHistoryQueries
from llm_service.adapters.sql.revisions import SqlRevisions
from llm_service.core.generation.ports import GenerationStore, IdempotencyStore, RemoteControl
from llm_service.core.history.ports import HistoryQueries, MarkStore
from llm_service.core.templates.ports import RevisionStore


@dataclass(frozen=True, slots=True)
class HistoryStores:
    """`remote`, `queries`, `marks`, `idempotency` and `revisions` None = the history keeps no rows for it (`APP_HISTORY`)."""

    generations: GenerationStore
    remote: RemoteControl | None
    queries: HistoryQueries | None
    marks: MarkStore | None
    idempotency: IdempotencyStore | None
    revisions: RevisionStore | None


def history_stores(database: Database, history: str, process_id: str | None = None) -> HistoryStores:
    """`history` is `full`, `metadata` or `off`. `process_id`: as for `SqlGenerations`."""
    if history == "off":
        return HistoryStores(NullGenerations(database), None, None, None, None, None)
    generations = SqlGenerations(database, keeps_texts=history == "full", process_id=process_id)
    idempotency = SqlIdempotency(database) if history == "full" else None
    queries, marks, revisions = SqlHistoryQueries(database), SqlMarks(database), SqlRevisions(database)
    return HistoryStores(generations, generations, queries, marks, idempotency, revisions)
