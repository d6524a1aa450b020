"""The shared calls of one process."""

import threading
from bisect import bisect_right

from llm_service.core.clock import Waker
from llm_service.core.generation.model import CallResult


class MemorySingleFlight:
    """Satisfies `SingleFlight`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, MemorySharedCall] = {}

    def join(self, key: str | None, member: str, about: str) -> "MemorySharedCall":
        with self._lock:
            flight = self._by_key.get(key) if key is not None else None
            if flight is None:
                flight = MemorySharedCall(self, key, member, about)
                if key is not None:
                    self._by_key[key] = flight
            flight.boarded.add(member)
            return flight

    def leave(self, flight: "MemorySharedCall", member: str) -> None:
        with self._lock:
            flight.boarded.discard(member)
            if not flight.boarded:
                self._close(flight)

    def close(self, flight: "MemorySharedCall") -> None:
        with self._lock:
            self._close(flight)

    def _close(self, flight: "MemorySharedCall") -> None:
        if flight.key is not None and self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]


class MemorySharedCall:
    """Satisfies `SharedCall`. Readers take no lock: a log is only added to, and its ends last."""

    def __init__(self, flights: MemorySingleFlight, key: str | None, flight_id: str, about: str) -> None:
        self._flights = flights
        self.key = key
        self.flight_id = flight_id
        self.about = about
        self.boarded: set[str] = set()
        self.landing: CallResult | None = None
        self.shown = False
        self.restarts = 0
        # Pieces of text, and behind each how many code points there are up to its end.
        self._log: tuple[list[str], list[int]] = ([], [])
        self._wakers: set[Waker] = set()
        self._landed = threading.Event()

    @property
    def members(self) -> int:
        return len(self.boarded)

    def append(self, text: str) -> None:
        parts, ends = self._log
        parts.append(text)
        ends.append((ends[-1] if ends else 0) + len(text))
        self._wake()

    def restart(self) -> None:
        self._log = ([], [])
        self.restarts += 1
        self._wake()

    def complete(self, landing: CallResult) -> None:
        self._flights.close(self)
        self.landing = landing
        self._landed.set()
        self._wake()

    def text_after(self, position: int) -> str:
        parts, ends = self._log
        count = len(ends)
        first = bisect_right(ends, position, 0, count)
        if first == count:
            return ""
        text = parts[first] if first + 1 == count else "".join(parts[first:count])
        began = ends[first - 1] if first else 0
        return text[position - began :] if position > began else text

    def mark_shown(self) -> None:
        self.shown = True

    def wait_landed(self, timeout_s: float) -> CallResult | None:
        self._landed.wait(timeout_s)
        return self.landing

    def watch(self, waker: Waker) -> None:
        self._wakers.add(waker)

    def unwatch(self, waker: Waker) -> None:
        self._wakers.discard(waker)

    def leave(self, member: str) -> None:
        self._flights.leave(self, member)

    def _wake(self) -> None:
        for waker in tuple(self._wakers):
            waker.set()
