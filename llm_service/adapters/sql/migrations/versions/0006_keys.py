"""API keys, browser sessions, failed logins, and counters that all processes share."""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import short_text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("key_id", short_text(12), nullable=False),
        sa.Column("owner", short_text(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", short_text(100), nullable=False),
        sa.Column("models", sa.Text),
        sa.Column("generations_per_minute", sa.Integer),
        sa.Column("concurrent", sa.Integer),
        sa.Column("picousd_per_day", sa.BigInteger),
        sa.Column("tokens_per_day", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.Column("last_used_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("key_id", name="pk_keys"),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", short_text(64), nullable=False),
        sa.Column("key_id", short_text(12), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.key_id"], name="fk_sessions_key_id_keys"),
    )
    op.create_index("ix_sessions_key_id", "sessions", ["key_id"])
    op.create_table(
        "attempts",
        sa.Column("address", short_text(64), nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("wrong", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_attempts"),
    )
    op.create_index("ix_attempts_since_ms", "attempts", ["since_ms"])
    op.create_table(
        "marks",
        sa.Column("name", short_text(40), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_marks"),
    )
