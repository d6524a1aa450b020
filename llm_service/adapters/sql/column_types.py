"""Types of columns that differ between the databases. Migrations use them too, so what they mean never changes."""

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.types import TypeEngine

# SQLite uses its fast row ids only for INTEGER.
Position = BigInteger().with_variant(Integer(), "sqlite")


def short_text(chars: int) -> TypeEngine[str]:
    """Text of about `chars` characters. SQLite never enforced the length; on PostgreSQL no value may fail a row either."""
    return String(chars).with_variant(Text(), "postgresql")
