"""The shipped nginx configuration, run by a real nginx from a folder of the test."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.constants import ROOT
from tests.support.processes import free_port, needed_program, stop

CONFIGURATION = ROOT / "deploy/nginx.conf"
# The line of a second node, as an operator would use it.
SECOND = "# server 10.0.0.12:8000"


@contextmanager
def nginx_before(
    folder: Path, behind: int, changes: Mapping[str, str] | None = None, second: int | None = None
) -> Iterator[int]:
    """nginx before the service on port `behind`, and on `second`; its own port. `changes`: more texts to replace."""
    program = needed_program("nginx", "/usr/sbin/nginx")
    port, text = free_port(), CONFIGURATION.read_text()
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = {
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "127.0.0.1:8000": f"127.0.0.1:{behind}",
        **({SECOND: f"server 127.0.0.1:{second}"} if second else {}),
        "/srv/llm-api-service/static/": f"{ROOT}/static/",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/": f"{folder}/",
        "http {": "http {\n" + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in temporary),
    }
    for old, new in {**places, **(changes or {})}.items():
        assert old in text, old
        text = text.replace(old, new)
    # Started by root, nginx would work as nobody, who may not write into the tests' folder.
    (folder / "nginx.conf").write_text(("user root;\n" if os.getuid() == 0 else "") + text)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        stop(process)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "nginx has ended: see its error.log"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nginx does not listen")
