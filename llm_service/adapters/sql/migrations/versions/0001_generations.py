"""The history: generations and the texts that they share."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import Position, short_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("answer_id", short_text(36), nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("system_prompt", sa.Text, nullable=False),
        sa.Column("user_prompt", sa.Text, nullable=False),
        sa.Column("output", sa.Text),
        sa.PrimaryKeyConstraint("answer_id", name="pk_answers"),
    )
    op.create_table(
        "generations",
        sa.Column("position", Position, nullable=False),
        sa.Column("request_id", short_text(36), nullable=False),
        sa.Column("owner", short_text(100), nullable=False),
        sa.Column("answer_id", short_text(36), nullable=False),
        sa.Column("template_id", short_text(64), nullable=False),
        sa.Column("template_revision", short_text(12), nullable=False),
        sa.Column("model", short_text(200), nullable=False),
        sa.Column("provider", short_text(20), nullable=False),
        sa.Column("status", short_text(12), nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("snippet", short_text(200), nullable=False),
        sa.Column("cache_key", short_text(64), nullable=False),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("total_tokens", sa.BigInteger),
        sa.Column("cached_input_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("cost_picousd", sa.BigInteger),
        sa.Column("saved_picousd", sa.BigInteger),
        sa.Column("price_version", short_text(40)),
        sa.Column("error", short_text(40)),
        sa.Column("incomplete_reason", short_text(40)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("upstream_request_id", short_text(200)),
        sa.Column("latency_ms", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("position", name="pk_generations"),
        sa.UniqueConstraint("request_id", name="uq_generations_request_id"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.answer_id"], name="fk_generations_answer_id_answers"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_generations_answer_id", "generations", ["answer_id"])
    op.create_index("ix_generations_owner_position", "generations", ["owner", "position"])
    running = sa.text("status = 'running'")
    op.create_index(
        "ix_generations_running", "generations", ["created_ms"], sqlite_where=running, postgresql_where=running
    )
