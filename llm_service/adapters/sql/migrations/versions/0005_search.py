"""Full-text search, including existing rows, and an index for filtered lists."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql import search_index

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table in ("answers", "generations"):
        op.add_column(table, sa.Column("document", sa.BigInteger))
    search_index.of(op.get_bind()).create(op.get_bind())
    _index_what_is_there(op.get_bind())
    op.create_index("ix_answers_document_answer_id", "answers", ["document", "answer_id"], unique=True)
    op.drop_index("ix_generations_owner_position", "generations")
    columns = ["owner", "position", "document", "created_ms", "status", "cached", "template_id", "model"]
    op.create_index("ix_generations_listed", "generations", columns)
    op.create_index("ix_generations_created_ms", "generations", ["created_ms"])
    op.drop_index("ix_generations_running", "generations")
    unfinished = sa.text("finished_ms IS NULL")
    op.create_index(
        "ix_generations_unfinished", "generations", ["created_ms"], sqlite_where=unfinished, postgresql_where=unfinished
    )


def _index_what_is_there(connection: sa.Connection) -> None:
    """Running generations are indexed when they end, or when the sweep marks them as interrupted."""
    over = connection.execute(
        sa.text(
            "SELECT min(g.position) AS document, min(g.owner) AS owner, a.answer_id, a.input, a.output FROM answers a "
            "JOIN generations g ON g.answer_id = a.answer_id GROUP BY a.answer_id "
            "HAVING sum(CASE WHEN g.status = 'running' THEN 1 ELSE 0 END) = 0"
        )
    )
    number = {
        table: sa.text(f"UPDATE {table} SET document = :document WHERE answer_id = :answer_id")  # noqa: S608
        for table in ("answers", "generations")
    }
    for row in over.yield_per(500):
        search_index.of(connection).write(connection, row.document, row.owner, row.input, row.output)
        for statement in number.values():
            connection.execute(statement, {"document": row.document, "answer_id": row.answer_id})
