"""Finds the addresses of a host, and connects to one of them, so that both can be abandoned.

The system's resolver cannot be stopped, and takes half a minute if a name server does not answer. So it runs in the
background, and its callers wait for it only as long as they want to. Callers of the same name share a lookup: a server
that does not answer holds up one thread, not one for each call.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

Address = tuple[int, int, int, str, Any]
"""As in the result of `socket.getaddrinfo`."""
Resolve = Callable[[str, int], Sequence[Address]]
"""Find the addresses of a host and a port. Raises `OSError`; may wait for any time."""
# The system gives up earlier. A lookup that does not is left alone, and the next caller begins another.
ABANDON_S = 60.0
_LOCALHOST = "localhost"
_LOOPBACKS = ("127.0.0.1", "::1")


def system_addresses(host: str, port: int) -> Sequence[Address]:
    """Satisfies `Resolve` with the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Resolver:
    """Safe from threads and greenlets."""

    def __init__(self, resolve: Resolve = system_addresses) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def addresses(self, host: str, port: int, timeout_s: float, waker: threading.Event) -> Sequence[Address]:
        """The addresses of a host. Setting `waker` ends the wait.

        Raises `TimeoutError` if they are not known then, and what the resolver raised.
        """
        if known := _known(host, port):
            return known
        lookup = self._begin((host, port), waker)
        waker.wait(timeout_s)
        lookup.wakers.discard(waker)
        if lookup.error is not None:
            raise copy(lookup.error)
        if lookup.found is None:
            raise TimeoutError("the addresses of the host are not known yet")
        return lookup.found

    def _begin(self, name: tuple[str, int], waker: threading.Event) -> "_Lookup":
        with self._lock:
            lookup = self._lookups.get(name)
            if lookup is not None and time.monotonic() - lookup.began < ABANDON_S:
                lookup.wakers.add(waker)
                return lookup
            lookup = self._lookups[name] = _Lookup(waker)
        # Under gevent a greenlet, which waits for a thread of gevent's.
        threading.Thread(target=self._run, args=[name, lookup], daemon=True).start()
        return lookup

    def _run(self, name: tuple[str, int], lookup: "_Lookup") -> None:
        try:
            lookup.found = self._resolve(*name)
        except Exception as error:  # raised again where it is waited for
            lookup.error = error
        with self._lock:
            if self._lookups.get(name) is lookup:
                del self._lookups[name]
            wakers = tuple(lookup.wakers)
        for waker in wakers:
            waker.set()


class _Lookup:
    __slots__ = ("began", "error", "found", "wakers")

    def __init__(self, waker: threading.Event) -> None:
        self.began = time.monotonic()
        self.wakers = {waker}
        self.found: Sequence[Address] | None = None
        self.error: Exception | None = None


def connect(
    addresses: Sequence[Address], timeout_s: Callable[[], float], use: Callable[[socket.socket | None], None]
) -> None:
    """Connect to the first address that accepts. Raises the last one's `OSError`, as `socket.create_connection`.

    `use` gets each socket before it connects, so that another thread can shut it down, and None after it failed.
    `timeout_s`: seconds that one attempt may take.
    """
    failed: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in addresses:
        try:
            connecting = socket.socket(family, kind, protocol)
        except OSError as error:  # the system has no IPv6
            failed = error
            continue
        try:
            use(connecting)
            connecting.settimeout(timeout_s())
            connecting.connect(address)
        except BaseException as error:
            connecting.close()
            use(None)
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            return
    try:
        raise failed
    finally:
        del failed  # its traceback holds this frame


def _known(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host that needs no resolver; none if it does.

    `localhost` is this machine whatever the resolver says of it (RFC 6761), and a server may listen on either address.
    """
    if host.lower().rstrip(".") == _LOCALHOST:
        return [address for loopback in _LOOPBACKS for address in _numeric(loopback, port)]
    return _numeric(host, port)


def _numeric(host: str, port: int) -> Sequence[Address]:
    """The address itself; none for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return []
    if version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    if "%" in host:
        return []
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]
