"""The tables, as after the newest migration (a test compares both).

`answers` stores each text once. `generations` has one row per request and refers to its texts, so a cache hit adds only
a short row. Lists read only `generations`. Sums read `usage_hours`, whose rows outlive the generations. The `limit_`
tables hold the counts for limits by account; they have rows only if something is limited.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from llm_service.core.usage.sums import COUNTS

from .column_types import Position, short_text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

answers = Table(
    "answers",
    metadata,
    Column("answer_id", short_text(36), primary_key=True, comment="request_id of the generation that made it"),
    Column("input", Text, nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON object, as the caller gave it"),
    Column("output", Text, comment="NULL while it runs and if there was no output"),
    Column("structured", Boolean, nullable=False, server_default=false(), comment="whether the output is to be JSON"),
    Column("document", BigInteger, comment="of the search index; NULL while it runs"),
    Column("messages", Text, nullable=False, server_default="[]", comment="JSON list of roles with their parts"),
    Index(None, "document", "answer_id", unique=True),
)

generations = Table(
    "generations",
    metadata,
    Column("position", Position, primary_key=True, comment="order of storing; pages are ranges of it"),
    Column("request_id", short_text(36), nullable=False, unique=True),
    Column("owner", short_text(100), nullable=False),
    Column("answer_id", short_text(36), ForeignKey("answers.answer_id"), nullable=False, index=True),
    Column("template_id", short_text(64), nullable=False),
    Column("template_revision", short_text(12), nullable=False),
    Column("model", short_text(200), nullable=False),
    Column("provider", short_text(20), nullable=False),
    Column("status", short_text(12), nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("snippet", short_text(200), nullable=False, comment="first words of the input"),
    Column("cache_key", short_text(64), nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger, comment="part of input_tokens"),
    Column("reasoning_tokens", BigInteger, comment="part of output_tokens"),
    Column("billed_input_tokens", BigInteger, comment="what the provider bills for this request, failed attempts too"),
    Column("billed_output_tokens", BigInteger),
    Column("billed_cached_input_tokens", BigInteger),
    Column("billed_reasoning_tokens", BigInteger),
    Column("cost_picousd", BigInteger, comment="1e-12 USD, exact for prices down to 0.000001 USD per million tokens"),
    Column("saved_picousd", BigInteger),
    Column("price_version", short_text(40)),
    Column("error", short_text(40), comment="the problem's code"),
    Column("incomplete_reason", short_text(40)),
    Column("attempts", Integer, nullable=False, comment="upstream calls made for it"),
    Column("unreported", Integer, comment="of them, those that may be billed and reported no tokens; NULL = unknown"),
    Column("warnings", Text, comment="JSON list of code and message; NULL = none"),
    Column("upstream_request_id", short_text(200)),
    Column("latency_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False, comment="Unix time, UTC"),
    Column("finished_ms", BigInteger),
    Column("document", BigInteger, comment="that of its answer: the position of the row whose end completed the texts"),
    Column("fallbacks", Text, comment="JSON list of the models that were tried before; NULL = none"),
    Column("process_id", Text, comment="that runs it, of `processes`; NULL where the kernel knows (SQLite)"),
    Column("options", Text, comment="JSON object of the model's options that the caller set; NULL = none"),
    Column("starred_ms", BigInteger, comment="when its owner starred it; NULL = no star"),
    sqlite_autoincrement=True,  # positions are never reused, so cursors stay valid
)
# Lists scan it by position; filters read its columns without touching the rows.
listed = Index(
    "ix_generations_listed",
    *(
        generations.c[name]
        for name in ("owner", "position", "document", "created_ms", "status", "cached", "template_id", "model")
    ),
)
Index("ix_generations_created_ms", generations.c.created_ms)
# Few generations have a star. A list of them must not scan the table.
starred = Index(
    "ix_generations_starred",
    generations.c.owner,
    generations.c.position,
    sqlite_where=generations.c.starred_ms.is_not(None),
    postgresql_where=generations.c.starred_ms.is_not(None),
)
generation_tags = Table(
    "generation_tags",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="of the generation that has it"),
    Index(None, "position"),
    # The newest tags of an owner.
    Index("ix_generation_tags_newest", "owner", "position", "tag"),
)
# Files change, and what the history refers to must stay readable.
template_revisions = Table(
    "template_revisions",
    metadata,
    Column("template_id", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
    Column("source", Text, nullable=False, comment="the text of the prompt file"),
    Column("first_used_ms", BigInteger, nullable=False, comment="Unix time, UTC"),
)
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", short_text(100), primary_key=True),
    Column("route", short_text(200), primary_key=True, comment="the address that the request came to"),
    Column("key", short_text(255), primary_key=True, comment="the caller's Idempotency-Key"),
    Column("fingerprint", short_text(64), nullable=False, comment="SHA-256 of the request's body in canonical form"),
    Column("request_id", short_text(36), nullable=False, index=True, comment="the generation that has the key"),
    Column("created_ms", BigInteger, nullable=False, index=True, comment="Unix time, UTC"),
)
# Few generations run at a time. Finding those of a dead process must not scan the table.
unfinished = Index(
    "ix_generations_unfinished",
    generations.c.created_ms,
    sqlite_where=generations.c.finished_ms.is_(None),
    postgresql_where=generations.c.finished_ms.is_(None),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("usage_id", Position, primary_key=True),
    Column("owner", short_text(100), nullable=False),
    Column("hour", Integer, nullable=False, comment="of the generations' beginning, since 1970, UTC"),
    Column("template_id", short_text(64), nullable=False),
    Column("template_revision", short_text(12), nullable=False),
    Column("model", short_text(200), nullable=False),
    Column("provider", short_text(20), nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in (*COUNTS, "cost_picousd", "saved_picousd")),
    UniqueConstraint(
        "owner", "hour", "template_id", "template_revision", "model", "provider", name="uq_usage_hours_key"
    ),
)
usage_latencies = Table(
    "usage_latencies",
    metadata,
    Column("usage_id", Position, ForeignKey("usage_hours.usage_id"), primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("answers", BigInteger, nullable=False, comment="that a model gave within that time"),
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", short_text(12), primary_key=True),
    Column("owner", short_text(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, comment="SHA-256 of the whole key"),
    Column("scopes", short_text(100), nullable=False, comment="names, by blanks"),
    Column("models", Text, comment="names, by blanks; NULL = every one"),
    Column("generations_per_minute", Integer),
    Column("concurrent", Integer),
    Column("picousd_per_day", BigInteger, comment="1e-12 USD"),
    Column("tokens_per_day", BigInteger),
    Column("created_ms", BigInteger, nullable=False, comment="Unix time, UTC, as all of these"),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("last_used_ms", BigInteger, comment="to the minute"),
)
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", short_text(64), primary_key=True, comment="SHA-256 of what the cookie holds, in hex"),
    Column("key_id", short_text(12), ForeignKey("keys.key_id"), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False, comment="to the minute"),
)
failed_logins = Table(
    "failed_logins",
    metadata,
    Column("address", short_text(64), primary_key=True, comment="a client's, or its network's"),
    Column("since_ms", BigInteger, nullable=False, index=True),
    Column("wrong", Integer, nullable=False, comment="keys since then"),
)
epochs = Table(
    "epochs",
    metadata,
    Column("name", short_text(40), primary_key=True),
    Column("value", BigInteger, nullable=False, comment="grows by one; processes look whether it is another"),
)
limit_seconds = Table(
    "limit_seconds",
    metadata,
    Column("account", short_text(110), primary_key=True, comment="a key, an owner, or everyone"),
    Column("second", BigInteger, primary_key=True, autoincrement=False, comment="since 1970"),
    Column("generations", Integer, nullable=False, comment="that began in it"),
)
limit_days = Table(
    "limit_days",
    metadata,
    Column("account", short_text(110), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False, comment="since 1970, UTC, of the calls' beginning"),
    Column("tokens", BigInteger, nullable=False, comment="used by calls that are over"),
    Column("picousd", BigInteger, nullable=False),
)
limit_reservations = Table(
    "limit_reservations",
    metadata,
    Column("request_id", short_text(36), primary_key=True),
    Column("account", short_text(110), primary_key=True),
    Column("day", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, comment="that are reserved for"),
    Column("tokens", BigInteger, nullable=False, comment="the most that one attempt can use"),
    Column("picousd", BigInteger, nullable=False),
    Column("spent_tokens", BigInteger, comment="what it used; NULL while the call is in progress"),
    Column("spent_picousd", BigInteger),
    Column("expires_ms", BigInteger, nullable=False, index=True, comment="Unix time when the call is surely over"),
)
# Calls in flight.
open_reservations = Index(
    "ix_limit_reservations_open",
    limit_reservations.c.account,
    sqlite_where=limit_reservations.c.spent_tokens.is_(None),
    postgresql_where=limit_reservations.c.spent_tokens.is_(None),
)
# Where nodes share a database (PostgreSQL): the processes that are alive. On SQLite the kernel knows.
processes = Table(
    "processes",
    metadata,
    Column("process_id", Text, primary_key=True, comment="random"),
    Column("node", Text, nullable=False, comment="host and server; for people, and for a changed secret"),
    Column("pid", BigInteger, nullable=False),
    Column("secret_digest", Text, nullable=False, comment="equal if SECRET_KEY is equal"),
    Column("version", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False, comment="Unix time, UTC, of the database's clock"),
    Column("seen_ms", BigInteger, nullable=False, comment="likewise; grows every two seconds"),
)
# One row. Programs whose newest revision is this one or a later one can work on this schema.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("since", Text, primary_key=True, comment="a revision"),
)
