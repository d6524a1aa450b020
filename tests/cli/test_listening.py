"""What people read in a terminal: where the server is, why it cannot be there, and no log lines from commands."""

import socket
import sys
from pathlib import Path

import pytest

from llm_service.cli.listening import address_to_open, refusals_of
from tests.support.constants import ROOT
from tests.support.processes import environment, free_port
from tests.support.terminal import on_terminal

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy/gunicorn.conf.py"), "wsgi:app"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1", "http://[fe80::1]:8000"),
        ("llm.example.org", "http://llm.example.org:8000"),
    ],
)
def test_the_address_to_open(host: str, shown: str) -> None:
    assert address_to_open(host, 8000) == shown


def test_a_port_in_use() -> None:
    waits: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (refusal,) = refusals_of([("127.0.0.1", port), ("127.0.0.1", free_port())], 2, waits.append)
    assert refusal.startswith(f"PORT: {port} is in use on 127.0.0.1. Stop the program that uses it, or choose another")
    assert sum(waits) == 2
    assert refusals_of([("127.0.0.1", port)]) == [], "it is free again"


def test_a_port_that_gets_free_while_the_start_waits() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    assert refusals_of([("127.0.0.1", other.getsockname()[1])], 2, lambda _seconds: other.close()) == []


def test_an_address_of_another_machine() -> None:
    (refusal,) = refusals_of([("192.0.2.1", 8000)])
    assert refusal.startswith("HOST: 192.0.2.1 is not an address of this machine.")


def test_the_server_says_what_to_open_and_what_is_in_use(tmp_path: Path) -> None:
    port = str(free_port())
    environ = environment(tmp_path, PORT=port)
    with on_terminal(GUNICORN, tmp_path, environ) as first:
        told = next(line for line in first.lines() if not line.startswith("{"))
        assert told == f"Open http://127.0.0.1:{port} in a browser. Ctrl+C stops the server."
        with on_terminal(GUNICORN, tmp_path, environ) as second:
            lines = list(second.lines())
            assert second.process.wait(60) == 1
    assert [line.split(".")[0] for line in lines if not line.startswith("{")] == [f"PORT: {port} is in use on 127"]
    assert "Connection in use" not in "".join(lines)


def test_commands_on_a_terminal_write_no_log_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flask", "keys", "create", "ann", "--scope", "generate"]
    environ = {**environment(tmp_path), "FLASK_APP": str(ROOT / "wsgi.py")}
    with on_terminal(command, tmp_path, environ) as terminal:
        lines = list(terminal.lines())
    assert [line.split("_")[0] for line in lines][-1] == "llms"
    assert not [line for line in lines if line.startswith("{")]
