"""What a caller set for one request, what people mark in the history, and the source of each template that was used."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("generations", sa.Column("options", sa.Text))
    op.add_column("generations", sa.Column("starred_ms", sa.BigInteger))
    op.create_index(
        "ix_generations_starred",
        "generations",
        ["owner", "position"],
        sqlite_where=sa.text("starred_ms IS NOT NULL"),
        postgresql_where=sa.text("starred_ms IS NOT NULL"),
    )
    op.create_table(
        "generation_tags",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "tag", "position", name="pk_generation_tags"),
    )
    op.create_index("ix_generation_tags_position", "generation_tags", ["position"])
    op.create_index("ix_generation_tags_newest", "generation_tags", ["owner", "position", "tag"])
    op.create_table(
        "template_revisions",
        sa.Column("template_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("first_used_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("template_id", "revision", name="pk_template_revisions"),
    )
