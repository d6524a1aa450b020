"""Prompt sections in a small, safe part of Jinja2.

A section is compiled once, at load. Values are substituted once, as plain text: nothing in a value is read as a role, a
variable or a loop. A section may print, filter, test, compare and loop over declared inputs. It may not call, import,
multiply or access globals, and filters take only constants; what it does is charged (`render_cost`). So neither a file nor a
value can make it run for long, fill the memory or read anything.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError

from ..errors import FieldError, InvalidInput
from .render_cost import CHARGED_FILTERS, MAX_MESSAGE_CHARS, CostEnvironment, TooExpensive, charged

FILTERS = [
    "abs",
    "capitalize",
    "default",
    "d",
    "escape",
    "first",
    "float",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "count",
    "lower",
    "list",
    "max",
    "min",
    "replace",
    "reverse",
    "round",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "wordcount",
]
MAX_FILTER_NUMBER = 100_000
MAX_INDENTS = {"indent": 100, "tojson": 8}
_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.For, nodes.Filter,
    nodes.Test, nodes.Getattr, nodes.Getitem, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Concat, nodes.CondExpr, nodes.List, nodes.Tuple, nodes.Add, nodes.Sub, nodes.Neg, nodes.Slice,
    nodes.Keyword, nodes.Assign,
)  # fmt: skip


class SectionError(Exception):
    """`line` counts from 1 within the section."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def _make_environment() -> CostEnvironment:
    env = CostEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in FILTERS} | CHARGED_FILTERS
    return env


_ENVIRONMENT = _make_environment()


class Section:
    """A compiled section of a prompt."""

    def __init__(self, text: str) -> None:
        """Raises `SectionError` for invalid syntax and for anything that a prompt may not do."""
        self.text = text
        try:
            tree = _ENVIRONMENT.parse(text)
            for fault in _unsafe_nodes(tree):
                raise fault
            self.variables = frozenset(meta.find_undeclared_variables(tree))
            self._template = _ENVIRONMENT.from_string(charged(tree))
        except TemplateSyntaxError as error:
            raise SectionError(error.message or "is not valid Jinja2", error.lineno) from error
        except RecursionError as error:
            raise SectionError("is nested too deep", 1) from error

    def line_of(self, variable: str) -> int:
        """The first line that uses `variable`."""
        lines = [node.lineno for node in _ENVIRONMENT.parse(self.text).find_all(nodes.Name) if node.name == variable]
        return min(lines, default=1)

    def render(self, values: Mapping[str, Any]) -> str:
        """Raises `InvalidInput` if the section cannot be rendered with these values."""
        try:
            return self._joined(values)
        except TooExpensive as error:
            raise _too_long() from error
        except (
            TemplateError,
            SecurityError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            RecursionError,
        ) as error:
            # The error's message may quote a value; its type does not.
            kind = type(error).__name__
            raise InvalidInput(
                f"The template cannot be rendered with these values ({kind}).",
                fields=[FieldError("parameters", f"cannot be used by the template as they are ({kind})")],
            ) from error

    def _joined(self, values: Mapping[str, Any]) -> str:
        parts, length = list[str](), 0
        for part in self._template.generate(values):
            length += len(part)
            if length > MAX_MESSAGE_CHARS:
                raise _too_long()
            parts.append(part)
        return "".join(parts)


def _too_long() -> InvalidInput:
    return InvalidInput.of(
        [FieldError("parameters", f"render to a message of more than {MAX_MESSAGE_CHARS:,} characters")]
    )


def section_faults(text: str) -> list[SectionError]:
    """All that `Section` refuses of a text, in its order; of invalid syntax only the first fault is known."""
    try:
        found = list(_unsafe_nodes(_ENVIRONMENT.parse(text)))
    except (TemplateSyntaxError, RecursionError):
        found = []
    if not found:
        try:
            Section(text)
        except SectionError as error:
            found = [error]
    return sorted(found, key=lambda fault: fault.line)


def _unsafe_nodes(tree: nodes.Template) -> Iterator[SectionError]:
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, (*_ALLOWED_NODES, nodes.Helper)):
            yield SectionError(f"may not use {type(node).__name__.lower()} here", node.lineno)
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            yield SectionError(f"may not access {node.attr}", node.lineno)
        if isinstance(node, nodes.Name) and node.name == "self":
            yield SectionError("may not access self", node.lineno)
        if isinstance(node, nodes.For) and node.find(nodes.For):
            yield SectionError("may not have a loop inside a loop", node.lineno)
        if isinstance(node, nodes.Filter):
            yield from _unsafe_arguments(node)


def _unsafe_arguments(node: nodes.Filter) -> Iterator[SectionError]:
    for argument in [*node.args, *(keyword.value for keyword in node.kwargs)]:
        # `-1` is a constant under a minus.
        constant = argument.node if isinstance(argument, nodes.Neg) else argument
        if not isinstance(constant, nodes.Const):
            yield SectionError(f"may give the filter {node.name} only constants", node.lineno)
            continue
        limit = MAX_INDENTS.get(node.name, MAX_FILTER_NUMBER)
        if isinstance(constant.value, int | float) and constant.value > limit:
            yield SectionError(f"may not give the filter {node.name} a number above {limit:,}", node.lineno)
