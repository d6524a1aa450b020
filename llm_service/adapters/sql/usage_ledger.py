"""Adding to the sums of usage: one row for each hour, owner, template, revision and model, its latencies beside it.

Whatever stores an outcome calls `count` in its own transaction. A transaction runs inside `summed`, which at its end adds
what was counted: fifty cache hits that are committed together are one change of one row.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from llm_service.core.clock import HOUR_MS
from llm_service.core.generation.accounting import sums_of
from llm_service.core.generation.model import Generation
from llm_service.core.usage.sums import COUNTS, UsageSums

from .money import to_pico
from .tables import usage_hours, usage_latencies
from .upsert import add_to

SUMMED = (*COUNTS, "cost_picousd", "saved_picousd")
KEY = ("owner", "hour", "template_id", "template_revision", "model")
_COUNTED = "usage counted in this transaction"
_ADD_SUMS = add_to(usage_hours, KEY, SUMMED).returning(usage_hours.c.usage_id)
_ADD_LATENCIES = add_to(usage_latencies, ("usage_id", "bucket"), ("answers",))

Key = tuple[str, int, str, str, str]


def count(connection: Connection, generation: Generation, instead_of: Generation | None = None) -> None:
    """Add a generation that is over; one that runs adds nothing yet.

    `instead_of` is the same generation as it was counted before.
    """
    if generation.finished_ms is None:
        return
    counted: dict[Key, UsageSums] = connection.info[_COUNTED]
    key = _key(generation)
    sums = counted.get(key, UsageSums()).plus(sums_of(generation))
    counted[key] = sums.plus(sums_of(instead_of), -1) if instead_of else sums


@contextmanager
def summed(connection: Connection) -> Iterator[None]:
    """Around the work of a transaction."""
    counted: dict[Key, UsageSums] = {}
    connection.info[_COUNTED] = counted
    yield
    # Always in the same order, so that two transactions which change the same rows cannot block each other.
    for key in sorted(counted):
        _add(connection, key, counted[key])


def _key(generation: Generation) -> Key:
    return (
        generation.owner,
        generation.created_ms // HOUR_MS,
        generation.template_id,
        generation.template_revision,
        generation.model,
    )


def _add(connection: Connection, key: Key, sums: UsageSums) -> None:
    row = {**dict(zip(KEY, key, strict=True)), **{name: getattr(sums, name) for name in COUNTS}}
    row |= {"cost_picousd": to_pico(sums.cost_usd), "saved_picousd": to_pico(sums.saved_usd)}
    usage_id = connection.execute(_ADD_SUMS, row).scalar_one()
    latencies = [
        {"usage_id": usage_id, "bucket": bucket, "answers": answers}
        for bucket, answers in sorted(sums.latencies.items())
        if answers
    ]
    if latencies:
        connection.execute(_ADD_LATENCIES, latencies)
