"""Usage sums, which outlive the history, and the billed tokens of each generation."""

import math

import sqlalchemy as sa
from alembic import op

from llm_service.adapters.sql.column_types import Position, short_text

revision = "0004"
down_revision = "0003"

BILLED = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
KEY = ("owner", "hour", "template_id", "template_revision", "model")
SUMMED = (
    "requests", "hits", "joined", "completed", "incomplete", "failed", "cancelled", "interrupted",
    "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "saved_input_tokens",
    "saved_output_tokens", "unknown_usage", "unknown_price", "cost_picousd", "saved_picousd",
)  # fmt: skip


def upgrade() -> None:
    for name in BILLED:
        op.add_column("generations", sa.Column(f"billed_{name}", sa.BigInteger))
    # Until now only `attempts` distinguished hits and joined calls.
    billed = ", ".join(f"billed_{name} = CASE WHEN attempts > 0 THEN {name} ELSE 0 END" for name in BILLED)
    op.execute(f"UPDATE generations SET {billed} WHERE finished_ms IS NOT NULL")  # noqa: S608
    hours = op.create_table(
        "usage_hours",
        sa.Column("usage_id", Position, nullable=False),
        sa.Column("owner", short_text(100), nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("template_id", short_text(64), nullable=False),
        sa.Column("template_revision", short_text(12), nullable=False),
        sa.Column("model", short_text(200), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMMED),
        sa.PrimaryKeyConstraint("usage_id", name="pk_usage_hours"),
        sa.UniqueConstraint(*KEY, name="uq_usage_hours_key"),
    )
    latencies = op.create_table(
        "usage_latencies",
        sa.Column("usage_id", Position, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("usage_id", "bucket", name="pk_usage_latencies"),
        sa.ForeignKeyConstraint(["usage_id"], ["usage_hours.usage_id"], name="fk_usage_latencies_usage_id_usage_hours"),
    )
    sum_what_is_there(op.get_bind(), hours, latencies)


def sum_what_is_there(connection: sa.Connection, hours: sa.Table, latencies: sa.Table) -> None:
    connection.execute(sa.text(f"INSERT INTO {hours.name} ({', '.join((*KEY, *SUMMED))}) {_SUMS}"))
    answers: dict[tuple[int, int], int] = {}
    for usage_id, latency_ms, count in connection.execute(sa.text(_LATENCIES)):
        bucket = 0 if latency_ms < 1 else 1 + math.floor(4 * math.log2(latency_ms))
        answers[usage_id, bucket] = answers.get((usage_id, bucket), 0) + count
    rows = [{"usage_id": usage_id, "bucket": bucket, "answers": count} for (usage_id, bucket), count in answers.items()]
    if rows:
        connection.execute(latencies.insert(), rows)


_FOR_EACH = """
    SELECT owner, created_ms / 3600000 AS hour, template_id, template_revision, model,
        status, latency_ms, cost_picousd, saved_picousd,
        CASE WHEN cached THEN 1 ELSE 0 END AS hit,
        CASE WHEN attempts > 0 THEN 1 ELSE 0 END AS called,
        CASE WHEN attempts = 0 AND status IN ('completed', 'incomplete') THEN 1 ELSE 0 END AS spared,
        input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
        CASE WHEN input_tokens IS NULL OR output_tokens IS NULL THEN 1 ELSE 0 END AS no_tokens
    FROM generations WHERE finished_ms IS NOT NULL
"""
_SUMS = f"""
    SELECT owner, hour, template_id, template_revision, model,
        count(*), sum(hit), sum((1 - called) * (1 - hit)),
        sum(CASE WHEN status = 'completed' THEN 1 ELSE 0 END),
        sum(CASE WHEN status = 'incomplete' THEN 1 ELSE 0 END),
        sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END),
        sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END),
        sum(CASE WHEN status = 'interrupted' THEN 1 ELSE 0 END),
        sum(called * coalesce(input_tokens, 0)),
        sum(called * coalesce(cached_input_tokens, 0)),
        sum(called * coalesce(output_tokens, 0)),
        sum(called * coalesce(reasoning_tokens, 0)),
        sum(spared * coalesce(input_tokens, 0)),
        sum(spared * coalesce(output_tokens, 0)),
        sum((called + spared) * no_tokens),
        sum((1 - no_tokens) * CASE WHEN called = 1 AND cost_picousd IS NULL THEN 1
                                   WHEN spared = 1 AND saved_picousd IS NULL THEN 1 ELSE 0 END),
        sum(called * coalesce(cost_picousd, 0)),
        sum(spared * coalesce(saved_picousd, 0))
    FROM ({_FOR_EACH}) AS each_one GROUP BY owner, hour, template_id, template_revision, model
"""  # noqa: S608
_LATENCIES = f"""
    SELECT usage_id, latency_ms, count(*)
    FROM ({_FOR_EACH}) AS each_one JOIN usage_hours USING (owner, hour, template_id, template_revision, model)
    WHERE hit = 0 AND latency_ms IS NOT NULL AND status IN ('completed', 'incomplete')
    GROUP BY usage_id, latency_ms
"""  # noqa: S608
