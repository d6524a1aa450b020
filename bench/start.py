"""Time from the command to the first 200 on /health and on /ready, and the memory of the idle process tree.

With the OpenAI adapter, whose SDK is loaded after the server listens. The first start also creates the database and is
not measured.

    .venv/bin/python -m bench.start [RUNS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.rig import free_port, machine, process, wait_for


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process and its children, in MB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rss = pss = 0
    for member in [str(pid), *children]:
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            rss += int(rest.split()[0]) if name == "Rss" else 0
            pss += int(rest.split()[0]) if name == "Pss" else 0
    return rss * 1024 / 1e6, pss * 1024 / 1e6


def one_start(folder: str) -> tuple[float, float, float, float]:
    port = free_port()
    env = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder}/bench.db",
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    }
    began = time.monotonic()
    with process([sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"], env) as master:
        wait_for(f"http://127.0.0.1:{port}/api/v1/health")
        health = time.monotonic() - began
        wait_for(f"http://127.0.0.1:{port}/api/v1/ready")
        ready = time.monotonic() - began
        time.sleep(0.5)
        return health, ready, *memory_mb(master.pid)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        one_start(folder)
        figures = [one_start(folder) for _ in range(runs)]
    for name, values in zip(("health s", "ready s", "RSS MB", "PSS MB"), zip(*figures, strict=True), strict=True):
        print(f"{name:9} median {statistics.median(values):7.2f}   min {min(values):7.2f}   max {max(values):7.2f}")


if __name__ == "__main__":
    main()
