"""Limits counted in memory, and a world whose callers have them."""

import threading
from collections.abc import Generator, Mapping, Sequence, Set
from dataclasses import replace
from decimal import Decimal

from llm_service.adapters.providers.echo import EchoProvider
from llm_service.core import errors
from llm_service.core.access.caller import LOCAL, UNLIMITED, Allowance, Caller
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Generation, ProviderCall, ProviderEvent, Retrying
from llm_service.core.generation.preview import most_tokens
from llm_service.core.limits.rules import (
    FREE,
    Account,
    Amount,
    Reservation,
    ReservationResult,
    Settlement,
    Tally,
    charge,
    limits_of,
    refusal,
)
from llm_service.core.limits.status import LimitStatuses
from llm_service.core.usage.ports import Prices
from tests.support.fakes import ScriptedProvider
from tests.support.world import ASKED, World


class DictLimits:
    """Counts in dictionaries what the real store counts in rows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[str, Tally] = {}
        self.reserved: dict[str, tuple[Reservation, int]] = {}
        self.settled: dict[str, Amount] = {}
        self.asked: list[Reservation] = []

    def reserve(self, reservation: Reservation) -> ReservationResult:
        with self.lock:
            self.asked.append(reservation)
            demand, now_ms = reservation.demand, reservation.now_ms
            before = self.statuses(reservation.accounts, now_ms)
            if (refused := refusal(before, demand)) is not None:
                return ReservationResult(before, refused)
            for account in reservation.accounts:
                tally = self.tallies.get(account.name, Tally())
                self.tallies[account.name] = tally.plus(demand, now_ms)
            if demand.call or demand.amount != FREE:
                first, attempts = self.reserved.get(reservation.request_id, (reservation, 0))
                self.reserved[reservation.request_id] = first, attempts + 1
            return ReservationResult(self.statuses(reservation.accounts, now_ms))

    def statuses(self, accounts: Sequence[Account], now_ms: int) -> LimitStatuses:
        rows = [limits_of(account, self.tallies.get(account.name, Tally()), now_ms) for account in accounts]
        return tuple(limit for limits in rows for limit in limits)

    def open_ids(self) -> Set[str]:
        return set()

    def expire(self, request_ids: Sequence[str]) -> int:
        return 0

    def prune(self, now_ms: int) -> None: ...

    def settle(self, settlement: Settlement) -> None:
        if settlement.request_id in self.reserved:
            reservation, attempts = self.reserved[settlement.request_id]
            self._charge(settlement.request_id, charge(reservation.demand.amount, attempts, settlement))

    def release(self, request_id: str) -> None:
        if request_id in self.reserved:
            self._charge(request_id, FREE)

    def _charge(self, request_id: str, spent: Amount) -> None:
        reservation, attempts = self.reserved[request_id]
        before = self.settled.get(request_id)
        self.settled[request_id] = spent
        for account in reservation.accounts:
            tally = self.tallies[account.name]
            used, reserved = tally.used.plus(spent).minus(before or FREE), tally.reserved
            if before is None:
                reserved = reserved.minus(reservation.demand.amount.times(attempts))
            calls = tally.calls - (before is None)
            self.tallies[account.name] = replace(tally, used=used, reserved=reserved, calls=calls)


class RetryingScript(ScriptedProvider):
    """Asks before each further attempt, as the retry loop does, and ends with the error where it may not."""

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        for event in super().stream(call, context):
            if isinstance(event, Retrying) and not context.may_retry():
                raise errors.UpstreamTruncated("broke")
            yield event


class Limited(World):
    """A world whose callers have an allowance."""

    def __init__(
        self,
        *events: ProviderEvent | Exception | threading.Event,
        everyone: Allowance = UNLIMITED,
        prices: Prices | None = None,
        models: tuple[str, ...] = ("m1", "m2"),
        others: Mapping[str, EchoProvider] | None = None,
    ) -> None:
        self.counted = DictLimits()
        super().__init__(
            RetryingScript(*events),
            counted=self.counted,
            prices=prices,
            models=models,
            others=others,
            everyone=everyone,
        )

    def caller(self, **allowance: object) -> Caller:
        return replace(LOCAL, allowance=Allowance(**allowance))  # type: ignore[arg-type]

    def ask(self, caller: Caller, text: str = "Hello") -> Generation:
        asked = replace(ASKED, input=text)
        return self.service.run(asked, caller, f"id-{next(self.ids)}").generation

    def most(self, caller: Caller) -> Amount:
        """What one attempt is reserved, at a dollar a token."""
        tokens = sum(most_tokens(self.preparer.prepare(ASKED, caller).call))
        return Amount(tokens, Decimal(tokens))

    def tally(self) -> Tally:
        (tally,) = self.counted.tallies.values()
        return tally
