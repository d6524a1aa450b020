"""The shared calls of one process."""

import threading
from bisect import bisect_right
from typing import Protocol

from llm_service.core.clock import Waker
from llm_service.core.generation.model import CallResult


class MemorySingleFlight:
    """Satisfies `SingleFlight`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, MemorySharedCall] = {}

    def join(self, key: str | None, member: str, fingerprint: str) -> "MemorySharedCall":
        with self._lock:
            call = self._by_key.get(key) if key is not None else None
            if call is None:
                call = MemorySharedCall(self, key, member, fingerprint)
                if key is not None:
                    self._by_key[key] = call
            call.joined.add(member)
            return call

    def leave(self, call: "MemorySharedCall", member: str) -> bool:
        with self._lock:
            call.joined.discard(member)
            if not call.joined:
                self._close(call)
            return bool(call.joined)

    def close(self, call: "MemorySharedCall") -> None:
        with self._lock:
            self._close(call)

    def _close(self, call: "MemorySharedCall") -> None:
        if call.key is not None and self._by_key.get(call.key) is call:
            del self._by_key[call.key]


class Members(Protocol):
    """Keeps who shares a call."""

    def close(self, call: "MemorySharedCall") -> None: ...

    def leave(self, call: "MemorySharedCall", member: str) -> bool: ...


class MemorySharedCall:
    """Satisfies `SharedCall`. Readers take no lock: a log only grows, and `ends` is updated last."""

    def __init__(self, single_flight: Members, key: str | None, call_id: str, fingerprint: str) -> None:
        self._single_flight = single_flight
        self.key = key
        self.call_id = call_id
        self.fingerprint = fingerprint
        self.joined: set[str] = set()
        self._result: CallResult | None = None
        self.shown = False
        # Pieces of text, for each the number of code points up to its end, and how often it began anew.
        self._log: tuple[list[str], list[int], int] = ([], [], 0)
        self._wakers: set[Waker] = set()
        self.lost = False
        self._lock = threading.RLock()
        # It is completed, or lost.
        self._ended = threading.Event()

    @property
    def members(self) -> int:
        return len(self.joined)

    @property
    def restarts(self) -> int:
        return self._log[2]

    def append(self, text: str) -> None:
        parts, ends, _ = self._log
        parts.append(text)
        ends.append((ends[-1] if ends else 0) + len(text))
        self.wake()

    def restart(self) -> None:
        self._log = ([], [], self.restarts + 1)
        self.wake()

    def complete(self, result: CallResult) -> None:
        self._single_flight.close(self)
        self._end(result)

    def text_after(self, position: int) -> str:
        parts, ends, _ = self._log
        count = len(ends)
        first = bisect_right(ends, position, 0, count)
        if first == count:
            return ""
        text = parts[first] if first + 1 == count else "".join(parts[first:count])
        began = ends[first - 1] if first else 0
        return text[position - began :] if position > began else text

    def mark_shown(self) -> None:
        self.shown = True

    def wait_completed(self, timeout_s: float) -> CallResult | None:
        self._ended.wait(timeout_s)
        return self._result

    def take_over(self, member: str) -> bool:
        with self._lock:
            if not self.lost or member not in self.joined:
                return False
            self.restart()
            self._found()
            return True

    def give_up(self) -> None:
        self._lose()

    def watch(self, waker: Waker) -> None:
        self._wakers.add(waker)

    def unwatch(self, waker: Waker) -> None:
        self._wakers.discard(waker)

    def close(self) -> None:
        self._single_flight.close(self)

    def leave(self, member: str) -> bool:
        return self._single_flight.leave(self, member)

    def _end(self, result: CallResult) -> None:
        self._result, self.lost = result, False
        self._ended.set()
        self.wake()

    def _lose(self) -> None:
        """Nobody leads it: a member that waits for its end may take it over."""
        if self._result is None:
            self.lost = True
            self._ended.set()

    def _found(self) -> None:
        """Somebody leads it again."""
        self.lost = False
        if self._result is None:
            self._ended.clear()

    def wake(self) -> None:
        """Wake all who watch it."""
        for waker in tuple(self._wakers):
            waker.set()
