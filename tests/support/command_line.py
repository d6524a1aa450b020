"""The commands of the service, each run in a process of its own."""

import subprocess
import sys
from pathlib import Path

from tests.support.constants import ROOT
from tests.support.processes import environment


def flask(folder: Path, *arguments: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", *arguments]
    env = {**environment(folder, **environ), "FLASK_APP": str(ROOT / "wsgi.py")}
    return subprocess.run(command, cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=60)
