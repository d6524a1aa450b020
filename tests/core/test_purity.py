"""The core loads alone, and its error tree is whole."""

import pkgutil
import re
import subprocess
import sys

import llm_service.core
from llm_service.core.errors import ServiceError, all_errors
from llm_service.web.http.problems import PROBLEMS
from tests.support.constants import ROOT

OUTSIDE = ("flask", "flask_smorest", "marshmallow", "sqlalchemy", "alembic", "openai", "httpx2", "sqlite3", "gevent")


def test_the_core_loads_no_framework_no_database_and_no_network() -> None:
    modules = [module.name for module in pkgutil.walk_packages(llm_service.core.__path__, "llm_service.core.")]
    program = f"import sys, {', '.join(modules)}; print([name for name in {OUTSIDE} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(modules) > 8


def test_every_error_has_a_row_in_the_table() -> None:
    codes = {kind.code for kind in all_errors()}
    assert len(codes) > 25
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert codes <= set(PROBLEMS)


def test_every_row_has_words_and_a_status_of_an_error() -> None:
    for code, problem in PROBLEMS.items():
        assert 400 <= problem.status < 600, code
        assert problem.title, code
        assert problem.meaning.endswith("."), code
        assert problem.remedy.endswith("."), code


def test_the_root_is_the_servers_fault() -> None:
    assert PROBLEMS[ServiceError.code].status == 500
