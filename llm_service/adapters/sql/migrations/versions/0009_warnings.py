"""Warnings about an answer, and the number of attempts whose bill is unknown."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Older rows keep NULL in both: they have no warnings, and what they did not report is not known.
    op.add_column("generations", sa.Column("unreported", sa.Integer))
    op.add_column("generations", sa.Column("warnings", sa.Text))
