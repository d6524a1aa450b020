"""Idempotency keys and their requests."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import short_text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", short_text(100), nullable=False),
        sa.Column("route", short_text(200), nullable=False),
        sa.Column("key", short_text(255), nullable=False),
        sa.Column("fingerprint", short_text(64), nullable=False),
        sa.Column("request_id", short_text(36), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "route", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_request_id", "idempotency_keys", ["request_id"])
    op.create_index("ix_idempotency_keys_created_ms", "idempotency_keys", ["created_ms"])
