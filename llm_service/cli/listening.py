"""What people are told about the server's address. gunicorn's master imports this: it must not import the app."""

import errno
import socket
import time
from collections.abc import Callable, Iterable

# As long as gunicorn tries: a server that is being replaced may still have the port.
PATIENCE_S = 5
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

Address = tuple[str, int]


def refusals_of(
    addresses: Iterable[Address], patience_s: float = PATIENCE_S, sleep: Callable[[float], None] = time.sleep
) -> list[str]:
    """Why the server cannot listen on these addresses, in words for the terminal; empty if it can, or who knows."""
    return [text for address in addresses if (text := _refusal_of(address, patience_s, sleep)) is not None]


def address_to_open(host: str, port: int) -> str:
    """What to type into a browser on the same machine."""
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal_of(address: Address, patience_s: float, sleep: Callable[[float], None]) -> str | None:
    host, port = address
    waited_s = 0.0
    while (number := _bind_error(address)) == errno.EADDRINUSE and waited_s < patience_s:
        sleep(0.5)
        waited_s += 0.5
    return {
        errno.EADDRINUSE: f"PORT: {port} is in use on {host}. Stop the program that uses it, or choose another port: PORT={port + 1 if port < 65_535 else 8000}",
        errno.EACCES: f"PORT: {port} needs more rights than this user has. Choose one above 1023",
        errno.EADDRNOTAVAIL: f"HOST: {host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all addresses",
    }.get(number)


def _bind_error(address: Address) -> int:
    """The errno of an attempt; 0 = it worked."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
            probe.bind(address)
    except OSError as error:
        return error.errno or 0
    return 0
