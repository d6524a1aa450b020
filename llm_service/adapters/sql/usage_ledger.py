"""Adds to the usage sums: one row per hour, owner, template, revision, model and provider, with its latencies.

Code that stores an outcome calls `count` in the same transaction. Transactions run inside `summed`, which adds the
counts at the end: fifty cache hits in one commit change one row once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from llm_service.core.clock import HOUR_MS
from llm_service.core.generation.accounting import parts_of
from llm_service.core.generation.model import Generation
from llm_service.core.usage.sums import COUNTS, Signed, UsageSums

from . import locks
from .compiled import Compiled
from .money import to_pico
from .reservations import begin_charges, write_charges
from .tables import usage_hours, usage_latencies
from .upsert import add_to

SUMMED = (*COUNTS, "cost_picousd", "saved_picousd")
KEY = ("owner", "hour", "template_id", "template_revision", "model", "provider")
_COUNTED = "usage counted in this transaction"
_ADD_SUMS = Compiled(add_to(usage_hours, KEY, SUMMED).returning(usage_hours.c.usage_id), (*KEY, *SUMMED))
_ADD_LATENCIES = Compiled(
    add_to(usage_latencies, ("usage_id", "bucket"), ("answers",)), ("usage_id", "bucket", "answers")
)

Key = tuple[str, int, str, str, str, str]


def count(connection: Connection, generation: Generation, instead_of: Generation | None = None) -> None:
    """Count a generation that is over; a running one is ignored.

    `instead_of`: the same generation as counted before, which is subtracted.
    """
    if generation.finished_ms is None:
        return
    counted: dict[Key, list[Signed]] = connection.info[_COUNTED]
    for model, provider, sums in parts_of(generation):
        counted.setdefault(_key(generation, model, provider), []).append((1, sums))
    for model, provider, sums in parts_of(instead_of) if instead_of else ():
        counted.setdefault(_key(generation, model, provider), []).append((-1, sums))


@contextmanager
def summed(connection: Connection) -> Iterator[None]:
    """Wraps a transaction and adds its counts, and what its calls spent, at the end."""
    counted: dict[Key, list[Signed]] = {}
    info = connection.info  # making it costs a microsecond
    info[_COUNTED] = counted
    locks.begin(info)
    charges = begin_charges(info)
    yield
    write_charges(connection, charges)
    # Sorted: transactions that change the same rows in the same order cannot deadlock.
    for key in sorted(counted):
        _add(connection, key, UsageSums.of(counted[key]))


def _key(generation: Generation, model: str, provider: str) -> Key:
    return (
        generation.owner,
        generation.created_ms // HOUR_MS,
        generation.template_id,
        generation.template_revision,
        model,
        provider,
    )


def _add(connection: Connection, key: Key, sums: UsageSums) -> None:
    row = {**dict(zip(KEY, key, strict=True)), **{name: getattr(sums, name) for name in COUNTS}}
    row |= {"cost_picousd": to_pico(sums.cost_usd), "saved_picousd": to_pico(sums.saved_usd)}
    usage_id = _ADD_SUMS.execute(connection, row).fetchone()[0]
    latencies = [
        {"usage_id": usage_id, "bucket": bucket, "answers": answers}
        for bucket, answers in sorted(sums.latencies.items())
        if answers
    ]
    if latencies:
        _ADD_LATENCIES.execute(connection, *latencies)
