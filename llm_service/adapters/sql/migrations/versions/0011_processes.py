"""Processes tell through the database that they are alive, and the schema tells which programs can work on it.

From here on, migrations only add: a program of the version before goes on working on the new schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("generations", sa.Column("process_id", sa.Text))
    op.create_table(
        "processes",
        sa.Column("process_id", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("secret_digest", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("process_id", name="pk_processes"),
    )
    compatibility = op.create_table(
        "schema_compatibility",
        sa.Column("since", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("since", name="pk_schema_compatibility"),
    )
    op.bulk_insert(compatibility, [{"since": "0010"}])
