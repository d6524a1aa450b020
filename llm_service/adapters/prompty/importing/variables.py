"""The variables of a public prompt file's messages: what the text needs of them, and their names here."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, nodes

_KEYWORDS = frozenset(
    [
        "and",
        "else",
        "false",
        "for",
        "if",
        "in",
        "is",
        "loop",
        "none",
        "not",
        "or",
        "self",
        "true",
        "True",
        "False",
        "None",
        "elif",
        "endif",
        "endfor",
    ]
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_EXAMPLE_ITEMS = 10
_LOGIC = (nodes.And, nodes.Or, nodes.Not)
# Reads the text only; nothing is rendered with it.
_READER = Environment(autoescape=True)


@dataclass(slots=True)
class Shape:
    """What a text reads of a value: its keys, or its items if it loops over them.

    `length`: how many items it must have. `kind`: what it must be because of what it is compared with or added to.
    `is_shown`: whether the text does more with it than ask whether it is true. `default`: what the text shows if it is missing.
    """

    keys: dict[str, "Shape"] = field(default_factory=dict)
    item: "Shape | None" = None
    length: int = 1
    kind: str | None = None
    is_shown: bool = False
    default: Any = None

    def key(self, name: str) -> "Shape":
        return self.keys.setdefault(name, Shape())

    def items(self) -> "Shape":
        self.item = self.item or Shape()
        return self.item

    def item_at(self, index: Any) -> "Shape":
        if isinstance(index, int):
            self.length = max(self.length, min(index + 1, MAX_EXAMPLE_ITEMS))
        return self.items()

    @property
    def needed_kind(self) -> str | None:
        """None = any."""
        if self.item is not None:
            return "array"
        if self.keys:
            return "object"
        return self.kind or (None if self.is_shown else "boolean")

    def example(self, name: str) -> Any:
        """A value with which the text can be rendered."""
        if self.item is not None:
            return [self.item.example(name) for _ in range(self.length)]
        if self.keys:
            return {key: inner.example(key) for key, inner in self.keys.items()}
        return {"integer": 1, "float": 1.5, "boolean": True}.get(self.needed_kind or "", name)

    def completed(self, value: Any) -> Any:
        """The value with examples of the keys that it lacks."""
        if isinstance(value, list) and self.item is not None:
            return [self.item.completed(each) for each in value]
        if isinstance(value, dict):
            lacking = {key: inner.example(key) for key, inner in self.keys.items() if key not in value}
            return {key: self.keys[key].completed(v) if key in self.keys else v for key, v in value.items()} | lacking
        return value


@dataclass(slots=True)
class Use:
    """A variable of the messages: the line of its first use, and what they read of it."""

    line: int
    shape: Shape = field(default_factory=Shape)


def note_uses(text: str, first_line: int, names: Collection[str], found: dict[str, Use]) -> None:
    """Add what a section reads of the variables `names`. `first_line`: where it begins in the file."""
    tree = _READER.parse(text)
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno):
        if node.name in names:
            found.setdefault(node.name, Use(first_line + node.lineno - 1))
    _visit(tree, {name: found[name].shape for name in names})


def _visit(node: nodes.Node, shapes: Mapping[str, Shape], *, shown: bool = True) -> None:
    """Note what is read of the values in `shapes`. A loop's variable is known in its loop only."""
    shape = _shape(node, shapes)
    if shape is not None:
        shape.is_shown = shape.is_shown or shown
    if isinstance(node, nodes.Compare):
        _note_kinds([node.expr, *(operand.expr for operand in node.ops)], shapes)
    if isinstance(node, nodes.Add | nodes.Sub):
        _note_kinds([node.left, node.right], shapes)
    if isinstance(node, nodes.Filter) and node.node is not None:
        _note_filter(node, _shape(node.node, shapes))
    if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
        over = _shape(node.iter, shapes)
        shapes = {**shapes, node.target.name: over.items() if over is not None else Shape()}
    for name, children in node.iter_fields():
        for child in children if isinstance(children, list) else [children]:
            if isinstance(child, nodes.Node):
                _visit(child, shapes, shown=name != "test" and (shown or not isinstance(node, _LOGIC)))


def _note_filter(node: nodes.Filter, shape: Shape | None) -> None:
    if shape is None:
        return
    if node.name == "join":
        shape.items()
    elif node.name in ("default", "d") and node.args and isinstance(node.args[0], nodes.Const):
        shape.default = node.args[0].value


def _note_kinds(operands: Sequence[nodes.Expr], shapes: Mapping[str, Shape]) -> None:
    """A value that meets a constant is of its kind."""
    constants = [operand.value for operand in operands if isinstance(operand, nodes.Const)]
    kinds = ((bool, "boolean"), (int, "integer"), (float, "float"), (str, "string"))
    kind = next((name for each in constants for kind, name in kinds if isinstance(each, kind)), None)
    for operand in operands:
        shape = _shape(operand, shapes)
        if shape is not None and kind is not None:
            shape.kind = kind


def _shape(node: nodes.Node, shapes: Mapping[str, Shape]) -> Shape | None:
    """The shape of `name`, `name.key`, `name["key"]` or `name[0]`; None for any other expression."""
    if isinstance(node, nodes.Name):
        return shapes.get(node.name)
    if isinstance(node, nodes.Getattr):
        owner = _shape(node.node, shapes)
        return owner.key(node.attr) if owner is not None else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        owner = _shape(node.node, shapes)
        if owner is None:
            return None
        return owner.key(node.arg.value) if isinstance(node.arg.value, str) else owner.item_at(node.arg.value)
    return None


def new_names(variables: Sequence[str], main: str) -> dict[str, str]:
    """The name of each variable here: `main` becomes `input`, and `firstName` becomes `first_name`."""
    names = {main: "input"}
    for name in variables:
        if name == main:
            continue
        wanted = (
            re.sub(r"[^a-z0-9_]", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")[:60] or "value"
        )
        wanted = (
            wanted if _NAME.fullmatch(wanted) and wanted not in _KEYWORDS and wanted != "input" else f"the_{wanted}"
        )
        taken, number = set(names.values()), 2
        unique = wanted
        while unique in taken:
            unique, number = f"{wanted}_{number}", number + 1
        names[name] = unique
    return names


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with its variables renamed: only whole names in tags that are no attribute, filter or keyword."""
    return "".join(_renamed_tokens(text, names))


def _renamed_tokens(text: str, names: Mapping[str, str]) -> Iterator[str]:
    tokens = list(_READER.lex(text))
    before = ""
    for index, (_, kind, value) in enumerate(tokens):
        if kind == "name" and value in names and before not in (".", "|", "is"):
            after = next((later for _, other, later in tokens[index + 1 :] if other != "whitespace"), "")
            keyword = after == "=" and before in ("(", ",")
            yield value if keyword else names[value]
        else:
            yield value
        if kind != "whitespace":
            before = value
