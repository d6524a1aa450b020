"""The shared calls of one process."""

import threading
from bisect import bisect_right

from llm_service.core.model import Landing
from llm_service.core.ports import Waker


class MemoryFlights:
    """Satisfies `Flights`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, MemoryFlight] = {}

    def board(self, key: str | None, member: str, about: str) -> "MemoryFlight":
        with self._lock:
            flight = self._by_key.get(key) if key is not None else None
            if flight is None:
                flight = MemoryFlight(self, key, member, about)
                if key is not None:
                    self._by_key[key] = flight
            flight.boarded.add(member)
            return flight

    def leave(self, flight: "MemoryFlight", member: str) -> None:
        with self._lock:
            flight.boarded.discard(member)
            if not flight.boarded:
                self._close(flight)

    def close(self, flight: "MemoryFlight") -> None:
        with self._lock:
            self._close(flight)

    def _close(self, flight: "MemoryFlight") -> None:
        if flight.key is not None and self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]


class MemoryFlight:
    """Satisfies `Flight`. Readers take no lock: a log is only added to, and its ends last."""

    def __init__(self, flights: MemoryFlights, key: str | None, flight_id: str, about: str) -> None:
        self._flights = flights
        self.key = key
        self.flight_id = flight_id
        self.about = about
        self.boarded: set[str] = set()
        self.landing: Landing | None = None
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

    def land(self, landing: Landing) -> None:
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

    def wait_landed(self, timeout_s: float) -> Landing | None:
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
