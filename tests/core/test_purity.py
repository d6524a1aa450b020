"""The core loads alone."""

import pkgutil
import subprocess
import sys

import llm_service.core
from tests.support.constants import ROOT

OUTSIDE = ("flask", "flask_smorest", "marshmallow", "sqlalchemy", "alembic", "openai", "httpx2", "sqlite3", "gevent")


def test_the_core_loads_no_framework_no_database_and_no_network() -> None:
    modules = [module.name for module in pkgutil.walk_packages(llm_service.core.__path__, "llm_service.core.")]
    program = f"import sys, {', '.join(modules)}; print([name for name in {OUTSIDE} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(modules) > 8
