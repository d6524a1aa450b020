"""The history: generations and the texts that they share."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("answer_id", sa.String(36), nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("system_prompt", sa.Text, nullable=False),
        sa.Column("user_prompt", sa.Text, nullable=False),
        sa.Column("output", sa.Text),
        sa.PrimaryKeyConstraint("answer_id", name="pk_answers"),
    )
    position = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "generations",
        sa.Column("position", position, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("answer_id", sa.String(36), nullable=False),
        sa.Column("template_id", sa.String(64), nullable=False),
        sa.Column("template_revision", sa.String(12), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("snippet", sa.String(200), nullable=False),
        sa.Column("cache_key", sa.String(64), nullable=False),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("total_tokens", sa.BigInteger),
        sa.Column("cached_input_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("cost_picousd", sa.BigInteger),
        sa.Column("saved_picousd", sa.BigInteger),
        sa.Column("price_version", sa.String(40)),
        sa.Column("error", sa.String(40)),
        sa.Column("incomplete_reason", sa.String(40)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("upstream_request_id", sa.String(200)),
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
    op.create_index("ix_generations_running", "generations", ["created_ms"], sqlite_where=running)
