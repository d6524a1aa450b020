"""Bounds what a section may do and make while it is rendered.

A few lines such as `{% set a = a ~ a %}` double a text until the memory is full, long before a message exists whose
length could be checked. So each operation of a section is charged: before it runs, for the size of the values that it
reads, and if it can make more of them, for the size of its result. Loops are charged for each turn.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

# Loops and filters can multiply a value: longer messages are refused.
MAX_MESSAGE_CHARS = 4_000_000
# Enough for eight operations on the longest message, or for half a million turns of a loop.
MAX_COST = 8 * MAX_MESSAGE_CHARS
# The cost of an item of a list or mapping, and of a turn; a text costs its length.
ITEM_COST = 64
# No file can use these names.
_CHARGED, _TURNS, _JOINED = "charged value", "charged turns", "joined texts"


class TooExpensive(Exception):
    """A section does or makes too much with these values."""


class CostContext(Context):
    """The context of one rendering, and what it may still cost."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left = MAX_COST

    def charge(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise TooExpensive

    def charge_value(self, value: object, times: int = 1) -> None:
        """All of it, also what several of its lists share: as text it is there several times."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.charge(len(value) * times)
            elif isinstance(value, Mapping):
                self.charge(len(value) * ITEM_COST * times)
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple):
                self.charge(len(value) * ITEM_COST * times)
                waiting += value
            else:
                self.charge(ITEM_COST)


class CostEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates, if they come from `charged`, raise `TooExpensive`."""

    context_class = CostContext
    intercepted_binops = frozenset({"+"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _charge(context, left, right)
        return super().call_binop(context, operator, left, right)


def charged(tree: nodes.Template) -> nodes.Template:
    """The tree, changed so that its operations are charged."""
    _Charger().visit(tree)
    return tree


class _Charger(NodeTransformer):
    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.Tuple(node.nodes, "load", lineno=node.lineno, environment=node.environment), _JOINED)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        self.generic_visit(node)
        if node.node is not None:
            node.node = _filter(node.node, _CHARGED)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        self.generic_visit(node)
        node.node = _filter(node.node, _CHARGED)
        node.args = [_filter(argument, _CHARGED) for argument in node.args]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filter(node.expr, _CHARGED)
        for operand in node.ops:
            operand.expr = _filter(operand.expr, _CHARGED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter(node.node, _CHARGED)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, _CHARGED)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, _CHARGED) if node.ctx == "load" else node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        assert isinstance(node.iter, nodes.Expr)
        node.iter = _filter(node.iter, _TURNS)
        return node


def _filter(node: nodes.Expr, name: str) -> nodes.Expr:
    if _is_free(node):
        return node
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _is_free(node: nodes.Expr) -> bool:
    """Constants are as large as the file says, and what is charged is charged once."""
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(map(_is_free, node.items))
    return isinstance(node, nodes.Const) or (isinstance(node, nodes.Filter) and node.name == _CHARGED)


def _charge(context: Context, *values: object) -> CostContext:
    assert isinstance(context, CostContext)
    for value in values:
        context.charge_value(value)
    return context


@pass_context
def _charged(context: Context, value: Any) -> Any:
    _charge(context, value)
    return value


@pass_context
def _turns(context: Context, items: Iterable[Any]) -> Iterable[Any]:
    counted = items if isinstance(items, Sized) else list(items)
    _charge(context).charge(len(counted) * ITEM_COST)
    return counted


@pass_context
def _joined(context: Context, values: Sequence[Any]) -> str:
    _charge(context, values)
    return str_join(values)


# The filters whose result can be much larger than what they read.


@pass_context
def _join(context: Context, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Any:
    items = list(value)
    _charge(context).charge(len(items) * (len(str(d)) + 1))
    return FILTERS["join"](context.eval_ctx, items, d, attribute)


@pass_context
def _replace(context: Context, s: Any, old: str, new: str, count: int | None = None) -> Any:
    s, new = str(s), str(new)
    _charge(context).charge(s.count(str(old)) * len(new))
    return FILTERS["replace"](context.eval_ctx, s, old, new, count)


@pass_context
def _indent(context: Context, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    _charge(context).charge((len(str(s).splitlines()) + 1) * _width(width))
    return FILTERS["indent"](s, width, first, blank)


@pass_context
def _tojson(context: Context, value: Any, indent: int | str | None = None) -> Any:
    _charge(context).charge_value(value, times=1 + _width(indent or 0))
    return FILTERS["tojson"](context.eval_ctx, value, indent)


def _width(width: int | str) -> int:
    return len(width) if isinstance(width, str) else int(width)


CHARGED_FILTERS = {
    _CHARGED: _charged,
    _TURNS: _turns,
    _JOINED: _joined,
    "join": _join,
    "replace": _replace,
    "indent": _indent,
    "tojson": _tojson,
}
