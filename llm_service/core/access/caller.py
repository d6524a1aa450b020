"""Who sends a request, what they may do and how much of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

# In a day, of a key and of all callers.
MAX_BUDGET_USD = 1_000_000
LOCAL_OWNER = "local"


class Scope(StrEnum):
    """A permission of a key. `ADMIN` includes all others, and access to other owners' rows."""

    GENERATE = "generate"
    HISTORY = "history"
    USAGE = "usage"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of a key; None = no limit. A minute is any sixty seconds, a day is a UTC day."""

    generations_per_minute: int | None = None
    concurrent: int | None = None
    usd_per_day: Decimal | None = None
    tokens_per_day: int | None = None


UNLIMITED = Allowance()


@dataclass(frozen=True, slots=True)
class Caller:
    """`owner`: whose rows are read and written. `key_id` None = no key was needed. `models` None = all of the service's."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    models: frozenset[str] | None = None
    allowance: Allowance = UNLIMITED

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees_everyone(self) -> bool:
        """Whether other owners' rows are visible. Never without a key: all callers without one are the same owner."""
        return self.key_id is not None and Scope.ADMIN in self.scopes


# Everyone on this machine, where the service needs no key.
LOCAL = Caller(LOCAL_OWNER, frozenset(Scope))
