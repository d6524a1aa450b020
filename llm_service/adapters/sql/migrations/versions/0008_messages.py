"""Prompts become a list of messages; tables get the names that the program uses."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_MESSAGE = "json_object('role', '{role}', 'parts', json_array(json_object('type', 'text', 'text', {role}_prompt)))"
_SYSTEM, _USER = _MESSAGE.format(role="system"), _MESSAGE.format(role="user")


def upgrade() -> None:
    op.add_column("answers", sa.Column("messages", sa.Text, nullable=False, server_default="[]"))
    op.execute(
        "UPDATE answers SET messages = CASE "
        f"WHEN system_prompt <> '' THEN json_array(json({_SYSTEM}), json({_USER})) "
        f"WHEN user_prompt <> '' THEN json_array(json({_USER})) ELSE '[]' END"
    )
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
    op.create_index(
        "ix_limit_reservations_open", "limit_reservations", ["account"], sqlite_where=sa.text("spent_tokens IS NULL")
    )
