"""Who a request is from, what they may do and how much of it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

LOCAL_OWNER = "local"


class Scope(StrEnum):
    """What a key opens. `ADMIN` opens everything, and other owners' rows too."""

    GENERATE = "generate"
    HISTORY = "history"
    USAGE = "usage"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much; None = no bound. A minute is any sixty seconds, a day is a day of UTC."""

    generations_per_minute: int | None = None
    concurrent: int | None = None
    usd_per_day: Decimal | None = None
    tokens_per_day: int | None = None


UNLIMITED = Allowance()


@dataclass(frozen=True, slots=True)
class Caller:
    """`owner` is whom rows belong to; `key_id` None = let in without a key. `models` None = all of the service's."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    models: frozenset[str] | None = None
    allowance: Allowance = UNLIMITED

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def sees_everyone(self) -> bool:
        """Other owners' rows too. Not who was let in without a key: they are all one owner."""
        return self.key_id is not None and Scope.ADMIN in self.scopes


# Whoever is on this machine, where the service is open to it.
LOCAL = Caller(LOCAL_OWNER, frozenset(Scope))
