"""How the code is laid out: modules, names, and what tests share. What import-linter can check is in setup.cfg."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.constants import ROOT

TESTS = ROOT / "tests"
MODULES = sorted(
    path for folder in ("llm_service", "tests", "bench", "deploy") for path in (ROOT / folder).rglob("*.py")
)
MAX_LINES = 300


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


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_nothing_is_patched(path: Path) -> None:
    """What a test needs otherwise, it passes in: a fake, a subclass, a setting."""
    tree = ast.parse(path.read_text())
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert called & {"setattr", "setitem", "setenv", "delattr", "delenv"} == set()
    assert [name for name in imported_names(path) if "mock" in name.split(".")] == []


CORE = ROOT / "llm_service" / "core"
# Modules that need none, and why.
WITHOUT_TESTS = {
    "services": "holds the others, and does nothing itself",
}


def does_something(path: Path) -> bool:
    """Whether a module has a function with a body: constants, plain dataclasses and protocols have none."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return any(
        not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant)
        for function in functions
        for statement in function.body
    )


def core_modules() -> dict[str, Path]:
    """By name, such as "usage/pricing"."""
    return {path.relative_to(CORE).with_suffix("").as_posix(): path for path in sorted(CORE.rglob("*.py"))}


def test_every_module_of_the_core_has_a_test_module_of_its_name() -> None:
    wanted = {name for name, path in core_modules().items() if does_something(path)} - WITHOUT_TESTS.keys()
    folder, tests = TESTS / "core", set()
    for path in folder.rglob("test_*.py"):
        module = path.with_name(path.name.removeprefix("test_")).relative_to(folder).with_suffix("")
        tests.add(module.as_posix())
    assert wanted - tests == set()
    assert WITHOUT_TESTS.keys() <= core_modules().keys()


def test_a_long_module_says_why() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in MODULES}
    long = {name: ast.get_docstring(ast.parse(text)) for name, text in texts.items() if text.count("\n") > MAX_LINES}
    assert [name for name, words in long.items() if "Longer than other modules: " not in (words or "")] == []


def names_bound_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def test_a_variable_is_named_for_what_it_is() -> None:
    assert [str(path.relative_to(ROOT)) for path in MODULES if "one" in names_bound_in(path)] == []


# Set for each piece of text: a method would make every token dearer.
FIELDS_SET_FROM_OUTSIDE = {"billing.has_text"}


def fields_set_from_outside(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self":
            yield ast.unparse(node)


def test_the_state_of_a_generation_is_changed_by_its_own_methods_only() -> None:
    modules = sorted((CORE / "generation").glob("*.py"))
    found = {name for path in modules for name in fields_set_from_outside(path)}
    assert found == FIELDS_SET_FROM_OUTSIDE
