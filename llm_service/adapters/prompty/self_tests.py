"""The tests in a prompt file, under `metadata.tests`."""

from collections.abc import Mapping
from typing import Any

from llm_service.core.templates.model import Expected, TemplateTest

from ..strict_yaml import FileFormatError, Node, refuse_unknown_keys, text_value

_EXPECTATIONS = ("system", "user", "refused", "output", "bad_output")


def read_tests(node: Node, *, has_outputs: bool) -> tuple[TemplateTest, ...]:
    """The list of tests.

    Raises `FileFormatError`.
    """
    if not isinstance(node.content, list):
        raise FileFormatError("metadata.tests must be a list", node.line)
    tests = tuple(_read(item, has_outputs) for item in node.content)
    seen: set[str] = set()
    for test in tests:
        if test.name in seen:
            raise FileFormatError(f"two tests have the name {test.name!r}", test.line)
        seen.add(test.name)
    return tests


def _read(node: Node, has_outputs: bool) -> TemplateTest:
    keys = dict(node.mapping("a test"))
    name = text_value("name", keys.pop("name")) if "name" in keys else ""
    if not name:
        raise FileFormatError("a test needs a name", node.line)
    inputs = keys.pop("inputs").mapping("inputs") if "inputs" in keys else {}
    expect = keys.pop("expect", None)
    refuse_unknown_keys("a test", keys)
    if expect is None or not expect.content:
        raise FileFormatError(f"the test {name!r} expects nothing: add expect", node.line)
    expected = dict(expect.mapping("expect"))
    refuse_unknown_keys("expect", {key: value for key, value in expected.items() if key not in _EXPECTATIONS})
    for key in ("output", "bad_output"):
        if key in expected and not has_outputs:
            raise FileFormatError(
                f"the test {name!r} has an {key}, but the file declares no outputs", expected[key].line
            )
    if "refused" in expected and ("system" in expected or "user" in expected):
        raise FileFormatError(f"the test {name!r} expects both refused values and a message", expected["refused"].line)
    return TemplateTest(
        name=name,
        line=node.line,
        inputs={key: value.value for key, value in inputs.items()},
        system=_expected("system", expected),
        user=_expected("user", expected),
        refused=_refused(expected),
        output=_recorded("output", expected),
        bad_output=_recorded("bad_output", expected),
    )


def _expected(role: str, expected: Mapping[str, Node]) -> Expected | None:
    node = expected.get(role)
    if node is None:
        return None
    if isinstance(node.content, str):
        return Expected(text=node.content)
    keys = dict(node.mapping(role))
    parts = keys.pop("contains", None)
    refuse_unknown_keys(role, keys)
    if parts is None:
        raise FileFormatError(f"{role} must be text, or contains: with a list of texts", node.line)
    return Expected(contains=_texts(f"{role}.contains", parts))


def _refused(expected: Mapping[str, Node]) -> tuple[str, ...]:
    return _texts("refused", expected["refused"]) if "refused" in expected else ()


def _texts(key: str, node: Node) -> tuple[str, ...]:
    values: Any = [node.content] if isinstance(node.content, str) else node.value
    if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
        raise FileFormatError(f"{key} must be a list of texts", node.line)
    return tuple(values)


def _recorded(key: str, expected: Mapping[str, Node]) -> str | None:
    if key not in expected:
        return None
    if not isinstance(expected[key].content, str):
        raise FileFormatError(f"{key} must be the model's answer as text, in quotes", expected[key].line)
    return str(expected[key].content)
