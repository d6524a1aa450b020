"""The tests that a prompt file carries under `metadata.tests`."""

from collections.abc import Mapping
from typing import Any

from llm_service.core.templates.model import Expected, TemplateTest

from ..strict_yaml import Node, PromptyError, refuse_keys, text_of

_EXPECTATIONS = ("system", "user", "refused", "output", "bad_output")


def read_tests(node: Node, *, has_outputs: bool) -> tuple[TemplateTest, ...]:
    """The list of tests.

    Raises `PromptyError`.
    """
    if not isinstance(node.content, list):
        raise PromptyError("metadata.tests must be a list", node.line)
    tests = tuple(_read(item, has_outputs) for item in node.content)
    seen: set[str] = set()
    for test in tests:
        if test.name in seen:
            raise PromptyError(f"there are two tests with the name {test.name!r}", test.line)
        seen.add(test.name)
    return tests


def _read(node: Node, has_outputs: bool) -> TemplateTest:
    keys = dict(node.mapping("a test"))
    name = text_of("name", keys.pop("name")) if "name" in keys else ""
    if not name:
        raise PromptyError("a test needs a name", node.line)
    inputs = keys.pop("inputs").mapping("inputs") if "inputs" in keys else {}
    expect = keys.pop("expect", None)
    refuse_keys("a test", keys)
    if expect is None or not expect.content:
        raise PromptyError(f"the test {name!r} expects nothing: it needs expect", node.line)
    wanted = dict(expect.mapping("expect"))
    refuse_keys("expect", {key: value for key, value in wanted.items() if key not in _EXPECTATIONS})
    for key in ("output", "bad_output"):
        if key in wanted and not has_outputs:
            raise PromptyError(f"the test {name!r} has an {key}, but the file declares no outputs", wanted[key].line)
    if "refused" in wanted and ("system" in wanted or "user" in wanted):
        raise PromptyError(f"the test {name!r} expects a refusal and a message", wanted["refused"].line)
    return TemplateTest(
        name=name,
        line=node.line,
        inputs={key: value.value for key, value in inputs.items()},
        system=_expected("system", wanted),
        user=_expected("user", wanted),
        refused=_refused(wanted),
        output=_recorded("output", wanted),
        bad_output=_recorded("bad_output", wanted),
    )


def _expected(role: str, wanted: Mapping[str, Node]) -> Expected | None:
    node = wanted.get(role)
    if node is None:
        return None
    if isinstance(node.content, str):
        return Expected(text=node.content)
    keys = dict(node.mapping(role))
    parts = keys.pop("contains", None)
    refuse_keys(role, keys)
    if parts is None:
        raise PromptyError(f"{role} must be a text, or contains: with a list of texts", node.line)
    return Expected(contains=_texts(f"{role}.contains", parts))


def _refused(wanted: Mapping[str, Node]) -> tuple[str, ...]:
    return _texts("refused", wanted["refused"]) if "refused" in wanted else ()


def _texts(key: str, node: Node) -> tuple[str, ...]:
    values: Any = [node.content] if isinstance(node.content, str) else node.value
    if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
        raise PromptyError(f"{key} must be a list of texts", node.line)
    return tuple(values)


def _recorded(key: str, wanted: Mapping[str, Node]) -> str | None:
    if key not in wanted:
        return None
    if not isinstance(wanted[key].content, str):
        raise PromptyError(f"{key} must be the model's text, in quotes", wanted[key].line)
    return str(wanted[key].content)
