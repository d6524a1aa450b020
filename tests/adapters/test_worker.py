"""The sockets of callers: who reads or writes slowly is waited for, who stops is not. Over real connections."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llm_service.adapters.runtime.worker import CallerSocket

SMALL_BUFFER = 32 * 1024


class Impatient(CallerSocket):
    """As the service's, in a second instead of a minute."""

    WRITE_TIMEOUT_S = 1.2
    BODY_TIMEOUT_S = 2.0

    __slots__ = ()


@pytest.fixture(name="both")
def _both() -> Iterator[tuple[Impatient, socket.socket]]:
    """The service's end and the caller's, with small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        caller.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        ours = Impatient(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        with closing(ours):
            yield ours, caller


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_slow_reader_gets_everything_although_it_takes_longer_than_the_timeout(
    both: tuple[Impatient, socket.socket],
) -> None:
    ours, caller = both
    data = bytes(range(256)) * 8000
    got = hashlib.sha256()
    took: list[float] = []

    def read() -> None:
        began = time.monotonic()
        left = len(data)
        while left:
            time.sleep(0.2)
            piece = caller.recv(100_000, socket.MSG_WAITALL if left >= 100_000 else 0)
            got.update(piece)
            left -= len(piece)
        took.append(time.monotonic() - began)

    reader = beside(read)
    ours.sendall(data)
    reader.join(30)
    assert got.digest() == hashlib.sha256(data).digest()
    assert took[0] > 2 * Impatient.WRITE_TIMEOUT_S, "the reader was slow enough to tell"


def test_a_reader_who_stops_is_disconnected(both: tuple[Impatient, socket.socket]) -> None:
    ours, caller = both
    with pytest.raises(ConnectionResetError, match="stopped reading"):
        ours.sendall(b"x" * 4_000_000)
    ours.close()
    with pytest.raises(ConnectionResetError):  # the kernel keeps nothing for it either
        read_to_the_end(caller)


def test_a_reader_who_stops_in_the_middle_is_disconnected(both: tuple[Impatient, socket.socket]) -> None:
    ours, caller = both

    def read() -> None:
        for _ in range(5):
            time.sleep(0.1)
            caller.recv(100_000)

    beside(read)
    with pytest.raises(ConnectionResetError, match="stopped reading"):
        ours.sendall(b"x" * 4_000_000)


def test_a_reader_who_stops_in_a_file_is_disconnected_too(
    both: tuple[Impatient, socket.socket], tmp_path: Path
) -> None:
    ours, _ = both
    path = tmp_path / "static.js"
    path.write_bytes(b"x" * 4_000_000)
    with path.open("rb") as file, pytest.raises(ConnectionResetError, match="stopped reading"):
        ours.sendfile(file, 0, 4_000_000)


def test_a_reader_who_hangs_up_ends_it_at_once(both: tuple[Impatient, socket.socket]) -> None:
    ours, caller = both
    beside(caller.close)
    with pytest.raises(OSError) as raised:
        ours.sendall(b"x" * 4_000_000)
    assert isinstance(raised.value, ConnectionResetError | BrokenPipeError)
    assert "stopped reading" not in str(raised.value)


def test_the_timeout_for_reading_does_not_end_a_response(both: tuple[Impatient, socket.socket]) -> None:
    """A request with a body sets one; its response may take longer."""
    ours, caller = both
    ours.settimeout(0.3)
    got: list[int] = []

    def read() -> None:
        time.sleep(0.8)
        left = 2_000_000
        while left:
            left -= len(caller.recv(100_000))
        got.append(left)

    reader = beside(read)
    ours.sendall(b"x" * 2_000_000)
    reader.join(10)
    assert got == [0]


def test_a_body_in_single_bytes_may_not_take_for_ever(both: tuple[Impatient, socket.socket]) -> None:
    """Each comes within the socket's timeout, all together do not; after a response the next request has its own time."""
    ours, caller = both
    ours.settimeout(1.0)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            caller.sendall(b"x")

    dripping = beside(drip)
    try:
        for _ in range(2):
            assert 0 < read_until_it_takes_too_long(ours) < 200
            ours.sendall(b"a response")
    finally:
        over.set()
        dripping.join(5)


def read_to_the_end(caller: socket.socket) -> None:
    while caller.recv(100_000):
        pass


def read_until_it_takes_too_long(ours: Impatient) -> int:
    got = 0
    try:
        while True:
            got += len(ours.recv(8192))
    except TimeoutError:
        return got


def test_without_a_timeout_a_request_is_waited_for(both: tuple[Impatient, socket.socket]) -> None:
    ours, caller = both

    def write_late() -> None:
        time.sleep(2.5)
        caller.sendall(b"at last")

    beside(write_late)
    assert ours.recv(100) == b"at last"
