"""Whether an answer must be JSON."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("answers", sa.Column("structured", sa.Boolean, nullable=False, server_default=sa.false()))
