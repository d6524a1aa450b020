"""Usage is summed by provider, too, and a generation keeps which models were tried before.

Until now there were two providers. The echo provider answered for every model, under its own name.
"""

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import Position, short_text

revision = "0010"
down_revision = "0009"

KEY = ("owner", "hour", "template_id", "template_revision", "model", "provider")
SUMMED = (
    "requests", "hits", "joined", "completed", "incomplete", "failed", "cancelled", "interrupted",
    "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "saved_input_tokens",
    "saved_output_tokens", "unknown_usage", "unknown_price", "cost_picousd", "saved_picousd",
)  # fmt: skip
_WAS = ("usage_id", *KEY[:-1])
_PROVIDER = "CASE WHEN model = 'echo' THEN 'echo' ELSE 'openai' END"


def upgrade() -> None:
    op.add_column("generations", sa.Column("fallbacks", sa.Text))
    _rebuild_sums()


def _rebuild_sums() -> None:
    """With new tables: SQLite cannot change a UNIQUE constraint. The latencies' table refers to the hours'."""
    if op.get_bind().dialect.name != "sqlite":
        # Empty, because no earlier program used a PostgreSQL. There, names of constraints are unique in a schema.
        op.drop_table("usage_latencies")
        op.drop_table("usage_hours")
        _create()
        return
    _create("new_")
    same = ", ".join((*_WAS, *SUMMED))
    op.execute(
        f"INSERT INTO new_usage_hours ({same}, provider) SELECT {same}, {_PROVIDER} FROM usage_hours"  # noqa: S608
    )
    op.execute("INSERT INTO new_usage_latencies SELECT usage_id, bucket, answers FROM usage_latencies")
    op.drop_table("usage_latencies")
    op.drop_table("usage_hours")
    # The foreign key follows its table's new name.
    op.rename_table("new_usage_hours", "usage_hours")
    op.rename_table("new_usage_latencies", "usage_latencies")


def _create(prefix: str = "") -> None:
    op.create_table(
        f"{prefix}usage_hours",
        sa.Column("usage_id", Position, nullable=False),
        sa.Column("owner", short_text(100), nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("template_id", short_text(64), nullable=False),
        sa.Column("template_revision", short_text(12), nullable=False),
        sa.Column("model", short_text(200), nullable=False),
        sa.Column("provider", short_text(20), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMMED),
        sa.PrimaryKeyConstraint("usage_id", name="pk_usage_hours"),
        sa.UniqueConstraint(*KEY, name="uq_usage_hours_key"),
    )
    op.create_table(
        f"{prefix}usage_latencies",
        sa.Column("usage_id", Position, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("usage_id", "bucket", name="pk_usage_latencies"),
        sa.ForeignKeyConstraint(
            ["usage_id"], [f"{prefix}usage_hours.usage_id"], name="fk_usage_latencies_usage_id_usage_hours"
        ),
    )
