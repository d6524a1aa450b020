"""Shared calls of several processes and machines: one upstream call for equal requests, wherever they arrive.

The members of one process share a call in its memory, and ask Redis only for the first of them: whether another process
makes this call already. If so, this process follows it: it gets the text, if anybody wants to see it grow, and the end. The
leader's process renews a lease; when it is lost, a follower takes the call over. Redis is asked once when a call begins and
once when it ends, and once a second for all calls of a process together.

Without Redis the calls of a process are shared as before, and one that followed another process makes the call itself.

Longer than other modules: whatever changes the role of a call is in one place.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from hashlib import sha256
from itertools import islice

from llm_service.adapters.memory.single_flight import MemorySharedCall
from llm_service.core.generation.model import CallResult

from .call_results import ResultUnknown, WholeResult, dump_result, load_result
from .client import RedisAway
from .flight_scripts import TOGETHER, Flight, FlightScripts, Renewal, Renewed
from .relay import Growing, RelayedText, TextRelay
from .streams import Fields, StreamReader

# Processes that would not understand each other share no call.
VERSION = 1
# Who follows a call, and is refused so often in a row, does not wait any longer.
REFUSALS = 3
AskForText = Callable[[str], object]
"""Tells the other processes that somebody here wants to see the text of the call with this id grow."""


class Role(Enum):
    """`ALONE`: only the members of this process share it."""

    ALONE = "alone"
    LEADS = "leads"
    FOLLOWS = "follows"


class RedisSingleFlight:
    """Satisfies `SingleFlight`. Call `tick` once a second, and `text_wanted` when another process asks for a text."""

    def __init__(
        self, scripts: FlightScripts, reader: StreamReader, relay: TextRelay, ask_for_text: AskForText
    ) -> None:
        self.scripts = scripts
        self.reader = reader
        self.relay = relay
        self.ask_for_text = ask_for_text
        self.lock = threading.Lock()
        self._by_key: dict[str, RedisSharedCall] = {}
        # Those that Redis knows, by call_id.
        self._known: dict[str, RedisSharedCall] = {}

    def join(self, key: str | None, member: str, fingerprint: str) -> "RedisSharedCall":
        with self.lock:
            call = self._by_key.get(key) if key is not None else None
            begins = call is None
            if call is None:
                call = RedisSharedCall(self, key, member, fingerprint)
                if key is not None:
                    self._by_key[key] = call
            call.joined.add(member)
        if begins:
            call.begin()
        else:
            call.wait_begun()
        return call

    def tick(self) -> None:
        """Renew the leases and the memberships of this process."""
        with self.lock:
            calls = list(self._known.values())
        waiting = iter(calls)
        try:
            while batch := list(islice(waiting, TOGETHER)):
                # Not earlier: with many calls, some end until it is their turn.
                batch = [call for call in batch if not call.is_over]
                renewals = [call.renewal() for call in batch]
                for call, renewal, reply in zip(batch, renewals, self.scripts.renew(renewals), strict=True):
                    call.renewed(renewal, reply)
        except RedisAway:
            for call in calls:
                call.redis_is_away()

    def text_wanted(self, call_id: str) -> None:
        """Another process wants to see the text of a call grow; of one that this process does not lead, nothing happens."""
        call = self._known.get(call_id)
        if call is not None:
            call.show_elsewhere()

    def know(self, call: "RedisSharedCall") -> None:
        with self.lock:
            self._known[call.call_id] = call

    def forget(self, call: "RedisSharedCall") -> None:
        """Nothing of it is renewed any more."""
        with self.lock:
            if self._known.get(call.call_id) is call:
                del self._known[call.call_id]

    def close(self, call: MemorySharedCall) -> None:
        """Nobody of this process can join it any more."""
        with self.lock:
            self.close_locked(call)

    def close_locked(self, call: MemorySharedCall) -> None:
        """As `close`, for who has the lock."""
        if call.key is not None and self._by_key.get(call.key) is call:
            del self._by_key[call.key]

    def leave(self, call: MemorySharedCall, member: str) -> bool:
        """Leaves only the members of this process."""
        with self.lock:
            call.joined.discard(member)
            return bool(call.joined)


class RedisSharedCall(MemorySharedCall):
    """Satisfies `SharedCall`, for the members of one process. What changes its role holds `_lock`."""

    def __init__(self, flights: RedisSingleFlight, key: str | None, member: str, fingerprint: str) -> None:
        super().__init__(flights, key, member, fingerprint)
        self._flights = flights
        self._scripts = flights.scripts
        self._role = Role.ALONE
        self._begun = threading.Event()
        self._flight = Flight(_digest(key), member, fingerprint)
        # Processes with members, as far as is known.
        self._elsewhere = 0
        self._is_open = True
        self._refused = 0
        self._told_end = self._renewed_late = False

    @property
    def members(self) -> int:
        if self._role is Role.FOLLOWS:
            return len(self.joined) + 1  # at least
        return len(self.joined) + self._elsewhere

    @property
    def is_over(self) -> bool:
        return self._result is not None

    def begin(self) -> None:
        """Find out whether another process makes this call already."""
        try:
            if self.key is not None:
                self._begin()
        except (RedisAway, ValueError):
            # Redis may have it nevertheless. It becomes known when it is renewed.
            self._lead()
        finally:
            self._begun.set()

    def wait_begun(self) -> None:
        """Its first member asks Redis."""
        self._begun.wait()

    def _begin(self) -> None:
        found = self._scripts.join(self._flight)
        if found is None:
            self._lead()
            return
        self._flight, lost = found
        self.call_id, self.fingerprint = self._flight.call_id, self._flight.fingerprint
        self._follow(lost)

    def complete(self, result: CallResult) -> None:
        text = self.text_after(0)
        super().complete(result)
        with self._lock:
            leads, self._role = self._role is Role.LEADS, Role.ALONE
        if leads:
            self._flights.forget(self)
            # Without its end, also one that has no form as JSON, others make the call themselves.
            with suppress(RedisAway, ValueError, OverflowError):
                self._scripts.complete(self._flight, dump_result(WholeResult(result, text)))
            with self._lock:
                self._told_end = True
                if self._renewed_late:
                    self._take_back()

    def close(self) -> None:
        super().close()
        if self._role is Role.LEADS and self._is_open:
            self._is_open = False
            with suppress(RedisAway):  # who joins now gets its end
                self._scripts.close(self._flight)

    def mark_shown(self) -> None:
        was_shown, self.shown = self.shown, True
        if self._role is Role.FOLLOWS and not was_shown:
            self._flights.ask_for_text(self.call_id)

    def show_elsewhere(self) -> None:
        """Pass the text on while it grows."""
        if self._role is Role.LEADS:
            self.shown = True
            flight = self._flight
            self._flights.relay.want(self._scripts.text_key(flight), self, flight.turn)

    def take_over(self, member: str) -> bool:
        with self._lock:
            if not self.lost or member not in self.joined:
                return False
            if self._role is Role.FOLLOWS and not self._take_lease():
                return False
            self.restart()
            self._found()
            return True

    def give_up(self) -> None:
        with self._lock:
            if self._role is Role.LEADS:
                here = bool(self.joined)
                with suppress(RedisAway):  # the lease runs out
                    self._scripts.give_up(self._flight, here=here)
                if here:
                    self.restart()
                    self._follow(lost=True, first_turn=self._flight.turn + 1)
                else:
                    self._go_alone()
            self._lose()

    def leave(self, member: str) -> bool:
        if super().leave(member):
            return True
        with self._lock:
            return self._leave_last()

    def renewal(self) -> Renewal:
        leads = self._role is Role.LEADS
        return Renewal(self._flight, leads, bool(self.joined), self._is_open, self.shown and not leads)

    def renewed(self, asked: Renewal, reply: Renewed | None) -> None:
        """What changed since it was asked makes the reply out of date. None: Redis refused it, perhaps because it is full."""
        with self._lock:
            if asked.flight != self._flight:
                return
            if asked.leads and self.is_over:
                self._renewed_late = True
                if self._told_end:
                    self._take_back()
                return
            self._refused = 0 if reply else self._refused + 1
            if reply is None:
                if self._refused >= REFUSALS:
                    self.redis_is_away()
            elif asked.leads and self._role is Role.LEADS:
                self._lead_on(asked, reply)
            elif not asked.leads and self._role is Role.FOLLOWS:
                self._follow_on(reply)

    def redis_is_away(self) -> None:
        """Who leads goes on, and its lease is renewed when Redis is back. Who follows hears nothing any more."""
        with self._lock:
            if self._role is Role.FOLLOWS:
                self._go_alone()
                self._lose()

    def hear(self, fields: Fields) -> None:
        """From its stream."""
        if b"end" in fields:
            with self._lock:
                self._fetch_end()
        elif b"lost" in fields:
            with self._lock:
                if self._role is Role.FOLLOWS and fields[b"lost"] == str(self._flight.turn).encode():
                    self._lose()
        else:
            with self._lock:
                if self._role is Role.FOLLOWS:
                    self._text.hear(fields)

    def _take_back(self) -> None:
        """A renewal may have reached Redis after the end, which then took the call for one that it had lost."""
        with suppress(RedisAway):
            self._scripts.give_up(self._flight, here=False)

    def _lead_on(self, asked: Renewal, reply: Renewed) -> None:
        if reply.deposed:
            # This process was silent for too long, and another one leads.
            self._go_alone()
        elif not reply.elsewhere and not asked.here:
            self._go_alone()  # Redis closed it
        elif asked.here == bool(self.joined):
            self._elsewhere = reply.elsewhere
            if reply.wanted:
                self.show_elsewhere()

    def _follow_on(self, reply: Renewed) -> None:
        if reply.ended:
            self._fetch_end()
            return
        if reply.turn != self._flight.turn:
            self._flight = replace(self._flight, turn=reply.turn)
            if self.shown:
                self._flights.ask_for_text(self.call_id)
        if reply.lost:
            self._lose()
        else:
            self._found()

    def _lead(self) -> None:
        self._role = Role.LEADS
        self._flights.know(self)

    def _follow(self, lost: bool, first_turn: int | None = None) -> None:
        """`first_turn`: of the texts that it has not written itself."""
        self._role = Role.FOLLOWS
        turn = self._flight.turn if first_turn is None else first_turn
        self._text = RelayedText(Growing(self.append, self.restart), (turn, 0))
        self._flights.know(self)
        self._flights.reader.follow(self._scripts.text_key(self._flight), self)
        if lost:
            self._lose()

    def _go_alone(self) -> None:
        follows, self._role, self._elsewhere = self._role is Role.FOLLOWS, Role.ALONE, 0
        self._flights.forget(self)
        if follows:
            self._flights.reader.unfollow(self._scripts.text_key(self._flight), self)
        if not self.joined:
            self._flights.close(self)

    def _take_lease(self) -> bool:
        """Whether this process leads now; without Redis it does, for its own members."""
        try:
            turn, leads = self._scripts.take_over(self._flight)
        except (RedisAway, ValueError):
            self._go_alone()
            return True
        if leads < 0:
            self._fetch_end()
            return False
        self._flight = replace(self._flight, turn=turn)
        if leads:
            self._flights.reader.unfollow(self._scripts.text_key(self._flight), self)
            self._role, self._elsewhere = Role.LEADS, 0
            self._is_open = True
            return True
        self._found()
        if self.shown:
            self._flights.ask_for_text(self.call_id)
        return False

    def _leave_last(self) -> bool:
        """The last member of this process leaves."""
        if self._role is Role.LEADS:
            with suppress(RedisAway):
                self._elsewhere = self._scripts.leave(self._flight)
            with self._flights.lock:
                if self._elsewhere or self.joined:
                    return True
                # Others cannot join any more, so nobody here can.
                self._flights.close_locked(self)
            self._go_alone()
            return False
        self._flights.close(self)
        if self._role is Role.FOLLOWS:
            with suppress(RedisAway):  # the membership runs out
                self._scripts.leave(self._flight)
            self._go_alone()
            self._lose()  # ends those who wait for it
            return True
        return False

    def _fetch_end(self) -> None:
        """Its leader completed it."""
        if self._role is not Role.FOLLOWS:
            return
        try:
            whole = load_result(self._scripts.result(self._flight))
        except (RedisAway, ResultUnknown):
            # Nobody knows how it ended.
            self._go_alone()
            self._lose()
            return
        self._go_alone()
        self._flights.close(self)
        known = self.text_after(0)
        if whole.text.startswith(known):
            if len(whole.text) > len(known):
                self.append(whole.text[len(known) :])
        else:
            self.restart()
            self.append(whole.text)
        self._end(whole.result)


def _digest(key: str | None) -> str:
    return sha256(f"{VERSION}:{key}".encode()).hexdigest()
