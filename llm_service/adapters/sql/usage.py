"""Reads the usage sums. `usage_ledger` writes them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, func, literal_column, select

from llm_service.core.usage.pricing import ZERO_USD
from llm_service.core.usage.sums import COUNTS, GroupBy, UsageLine, UsageSums

from .database import Database
from .money import from_pico
from .tables import usage_hours, usage_latencies
from .usage_ledger import SUMMED

_hours, _latencies = usage_hours.c, usage_latencies.c
# Not a parameter: for PostgreSQL, two of them are not the same expression.
_DAY = _hours.hour // literal_column("24", Integer)
_GROUPS: dict[GroupBy, tuple[Any, ...]] = {
    GroupBy.HOUR: (_hours.hour,),
    GroupBy.DAY: (_DAY,),
    GroupBy.TEMPLATE: (_hours.template_id,),
    GroupBy.REVISION: (_hours.template_id, _hours.template_revision),
    GroupBy.MODEL: (_hours.model,),
    GroupBy.PROVIDER: (_hours.provider,),
    GroupBy.OWNER: (_hours.owner,),
}


class SqlUsage:
    """Satisfies `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lines(
        self, owner: str | None, group_by: GroupBy, since_hour: int | None, until_hour: int | None
    ) -> Sequence[UsageLine]:
        keys = _GROUPS[group_by]
        sums = select(*keys, *(func.sum(_hours[name]).label(name) for name in SUMMED)).group_by(*keys)
        latencies = select(*keys, _latencies.bucket, func.sum(_latencies.answers).label("answers"))
        latencies = latencies.select_from(usage_latencies.join(usage_hours)).group_by(*keys, _latencies.bucket)

        def work(connection: Connection) -> list[UsageLine]:
            buckets: dict[tuple[Any, ...], dict[int, int]] = defaultdict(dict)
            for row in connection.execute(_within(latencies, owner, since_hour, until_hour)):
                buckets[tuple(row[: len(keys)])][row.bucket] = int(row.answers)
            found = connection.execute(_within(sums, owner, since_hour, until_hour)).all()
            return [UsageLine(key := tuple(row[: len(keys)]), _sums(row, buckets[key])) for row in found]

        return self._database.read(work)

    def last_hours(self, owner: str | None, since_hour: int) -> Mapping[str, int]:
        last = select(_hours.template_id, func.max(_hours.hour)).group_by(_hours.template_id)
        query = _within(last, owner, since_hour, None)
        return self._database.read(lambda connection: {row[0]: int(row[1]) for row in connection.execute(query)})


def _within(query: Select[Any], owner: str | None, since_hour: int | None, until_hour: int | None) -> Select[Any]:
    if owner is not None:
        query = query.where(_hours.owner == owner)
    if since_hour is not None:
        query = query.where(_hours.hour >= since_hour)
    if until_hour is not None:
        query = query.where(_hours.hour < until_hour)
    return query


def _sums(row: Row[Any], latencies: dict[int, int]) -> UsageSums:
    return UsageSums(
        **{name: int(getattr(row, name)) for name in COUNTS},
        cost_usd=from_pico(int(row.cost_picousd)) or ZERO_USD,
        saved_usd=from_pico(int(row.saved_picousd)) or ZERO_USD,
        latencies=latencies,
    )
