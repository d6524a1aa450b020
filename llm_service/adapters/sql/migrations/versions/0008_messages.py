"""Prompts become a list of messages; tables are renamed as in the program."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_CONVERT = """
UPDATE answers SET messages = CASE
  WHEN system_prompt <> '' THEN json_array(
    json_object('role', 'system', 'parts', json_array(json_object('type', 'text', 'text', system_prompt))),
    json_object('role', 'user', 'parts', json_array(json_object('type', 'text', 'text', user_prompt))))
  WHEN user_prompt <> '' THEN json_array(
    json_object('role', 'user', 'parts', json_array(json_object('type', 'text', 'text', user_prompt))))
  ELSE '[]' END
"""


def upgrade() -> None:
    op.add_column("answers", sa.Column("messages", sa.Text, nullable=False, server_default="[]"))
    if op.get_bind().dialect.name == "sqlite":  # a PostgreSQL is empty: no earlier program used one
        op.execute(_CONVERT)
    op.drop_column("answers", "system_prompt")
    op.drop_column("answers", "user_prompt")
    op.drop_index("ix_attempts_since_ms", "attempts")
    op.rename_table("attempts", "failed_logins")
    op.create_index("ix_failed_logins_since_ms", "failed_logins", ["since_ms"])
    op.rename_table("marks", "epochs")
    op.drop_index("ix_limit_holds_expires_ms", "limit_holds")
    op.drop_index("ix_limit_holds_open", "limit_holds")
    op.rename_table("limit_holds", "limit_reservations")
    op.create_index("ix_limit_reservations_expires_ms", "limit_reservations", ["expires_ms"])
    under_way = sa.text("spent_tokens IS NULL")
    op.create_index(
        "ix_limit_reservations_open",
        "limit_reservations",
        ["account"],
        sqlite_where=under_way,
        postgresql_where=under_way,
    )
