"""Counts for limits: generations per second, budgets per day, and reservations of running calls."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import short_text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "limit_seconds",
        sa.Column("account", short_text(110), nullable=False),
        sa.Column("second", sa.BigInteger, nullable=False),
        sa.Column("generations", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account", "second", name="pk_limit_seconds"),
    )
    op.create_table(
        "limit_days",
        sa.Column("account", short_text(110), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("picousd", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "day", name="pk_limit_days"),
    )
    op.create_table(
        "limit_holds",
        sa.Column("request_id", short_text(36), nullable=False),
        sa.Column("account", short_text(110), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("picousd", sa.BigInteger, nullable=False),
        sa.Column("spent_tokens", sa.BigInteger),
        sa.Column("spent_picousd", sa.BigInteger),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "account", name="pk_limit_holds"),
    )
    under_way = sa.text("spent_tokens IS NULL")
    op.create_index("ix_limit_holds_expires_ms", "limit_holds", ["expires_ms"])
    op.create_index(
        "ix_limit_holds_open", "limit_holds", ["account"], sqlite_where=under_way, postgresql_where=under_way
    )
