"""Full-text search, including existing rows, and an index for filtered lists."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.sqlite import full_text as search

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table in ("answers", "generations"):
        op.add_column(table, sa.Column("document", sa.BigInteger))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(search.CREATE_INDEX)
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
            "SELECT min(g.position) AS document, g.owner, a.answer_id, a.input, a.output FROM answers a "
            "JOIN generations g ON g.answer_id = a.answer_id GROUP BY a.answer_id "
            "HAVING sum(g.status = 'running') = 0"
        )
    )
    number = {
        table: sa.text(f"UPDATE {table} SET document = :document WHERE answer_id = :answer_id")  # noqa: S608
        for table in ("answers", "generations")
    }
    for row in over.yield_per(500):
        search.write(connection, row.document, row.owner, row.input, row.output)
        for statement in number.values():
            connection.execute(statement, {"document": row.document, "answer_id": row.answer_id})
