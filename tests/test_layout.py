"""How the tests are laid out: what they share is in tests/support, and no test module needs another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.constants import ROOT

TESTS = ROOT / "tests"
TEST_MODULES = sorted(TESTS.rglob("test_*.py"))


def imported_names(path: Path) -> Iterator[str]:
    """Everything that a file imports, also inside functions; `from a import b` as "a.b", since b may be a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parent.parts[: 1 - node.level or None]) if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def of_a_test(name: str) -> bool:
    first, *rest = name.split(".")
    return first == "tests" and any(part.startswith("test_") or part == "conftest" for part in rest)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_module_imports_a_test_module(path: Path) -> None:
    assert [name for name in imported_names(path) if of_a_test(name)] == []
