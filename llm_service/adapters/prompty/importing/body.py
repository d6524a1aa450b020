"""The messages of a public prompt file: its sections, what they use, and the same text in this service's words."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, nodes

from llm_service.core.templates.rendering import Section, section_faults

from .faults import Fault

# As the format's own parsers read it: any case, a heading's mark before it, attributes after it.
_ROLE_LINE = re.compile(r"\s*#?\s*(system|user|assistant|developer|function|tool)\s*(\[.*\])?\s*:\s*", re.IGNORECASE)
_SYSTEM = ("system", "developer")
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
_MUSTACHE = re.compile(r"\{\{(\{)?\s*([!#^/>&=]?)\s*(.*?)\s*\}?\}\}", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
# Reads the text only; nothing is rendered with it.
_READER = Environment(autoescape=True)


@dataclass(frozen=True, slots=True)
class BodySection:
    """`first_line` is the line of the file that `text` begins on."""

    role: str
    text: str
    first_line: int


@dataclass(slots=True)
class Body:
    """`changes`: what is different from the file, for people. `warnings`: what they should look at."""

    sections: dict[str, BodySection]
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """What a text reads of a value: its keys, or its items if it loops over them."""

    keys: dict[str, "Shape"] = field(default_factory=dict)
    item: "Shape | None" = None

    def key(self, name: str) -> "Shape":
        return self.keys.setdefault(name, Shape())

    def items(self) -> "Shape":
        self.item = self.item or Shape()
        return self.item

    def example(self, name: str) -> Any:
        """A value with which the text can be rendered."""
        if self.item is not None:
            return [self.item.example(name)]
        return {key: inner.example(key) for key, inner in self.keys.items()} if self.keys else name


@dataclass(slots=True)
class Use:
    """A variable of the messages: the line of its first use, and what they read of it."""

    line: int
    shape: Shape = field(default_factory=Shape)


def read_body(text: str, first_line: int, *, split: bool = True) -> Body:
    """`split` False: the whole text is one message, as for models that complete a text."""
    body, line = Body({}), first_line
    chunks: list[tuple[str, int, list[str]]] = [("", first_line, [])]
    for part in text.splitlines(keepends=True):
        if split and (match := _ROLE_LINE.fullmatch(part.strip())):
            chunks.append((_role(match, body, line, {role for role, _, _ in chunks}), line + 1, []))
        else:
            chunks[-1][2].append(part)
        line += part.count("\n")
    if len(chunks) == 1:
        body.changes.append("the text has no sections: it became user:")
        chunks = [("user", first_line, chunks[0][2])]
    elif "".join(chunks[0][2]).strip():
        body.faults.append(Fault(first_line, "text before the first section", "move it below a line system: or user:"))
    for role, begins, parts in chunks:
        content = "".join(parts)
        if content.strip():
            lead = len(content) - len(content.lstrip("\n"))
            body.sections[role] = BodySection(role, content.strip("\n"), begins + lead)
    return body


def _role(match: re.Match[str], body: Body, line: int, before: Collection[str]) -> str:
    role = match[1].lower()
    if match[2]:
        body.changes.append(f"line {line}: the attributes of {role}{match[2]} were dropped")
    if role in _SYSTEM:
        if role != "system":
            body.changes.append(f"line {line}: {role}: became system:")
        role = "system"
    elif role != "user":
        message = f"{role}: is not supported, only system: and user: are"
        body.faults.append(Fault(line, message, "move the text into system: as an example, or delete it"))
    if role in before:
        body.faults.append(Fault(line, f"{role}: appears twice", f"join both under one line {role}:"))
    return role


def from_mustache(body: Body) -> None:
    """Rewrite plain Mustache as Jinja2; sections and partials are faults."""
    for role, section in body.sections.items():
        line_of = _lines(section)

        def rewritten(match: re.Match[str], line_of: Any = line_of) -> str:
            sigil, name, line = match[2], match[3], line_of(match.start())
            if sigil == "!":
                body.changes.append(f"line {line}: a comment was dropped")
                return ""
            if sigil not in ("", "&"):
                fault = Fault(
                    line,
                    f"Mustache's {{{{{sigil}{name}}}}} is not supported",
                    "write it in Jinja2: {% for %} or {% if %}",
                )
                body.faults.append(fault)
            return "{{" + name + "}}"

        body.sections[role] = BodySection(role, _MUSTACHE.sub(rewritten, section.text), section.first_line)


def _lines(section: BodySection) -> Any:
    return lambda position: section.first_line + section.text.count("\n", 0, position)


def used_variables(body: Body) -> dict[str, Use]:
    """The variables by name, in the order of their first use. Syntax errors and what a prompt may not do are faults."""
    found: dict[str, Use] = {}
    for section in body.sections.values():
        body.faults += _images(section)
        if faults := section_faults(section.text):
            remedy = "write it with variables, filters, {% if %} and {% for %} only"
            body.faults += [
                Fault(section.first_line + fault.line - 1, fault.message.rstrip("."), remedy) for fault in faults
            ]
            continue
        _collect(section, Section(section.text).variables, found)
        if "{#" in section.text:
            line = _lines(section)(section.text.index("{#"))
            body.warnings.append(f"line {line}: {{# #}} is a comment of the template: the model does not get it")
    return found


def _images(section: BodySection) -> list[Fault]:
    """The format's parsers send these as images; here the model would get the words."""
    line_of = _lines(section)
    remedy = "remove it: only text is sent to the model"
    return [
        Fault(line_of(found.start()), "images are not supported", remedy) for found in _IMAGE.finditer(section.text)
    ]


def _collect(section: BodySection, names: frozenset[str], found: dict[str, Use]) -> None:
    tree = _READER.parse(section.text)
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno):
        if node.name in names:
            found.setdefault(node.name, Use(section.first_line + node.lineno - 1))
    _visit(tree, {name: found[name].shape for name in names})


def _visit(node: nodes.Node, shapes: Mapping[str, Shape]) -> None:
    """Note what is read of the values in `shapes`. A loop's variable is known in its loop only."""
    if isinstance(node, nodes.Getattr):
        _shape(node, shapes)
    if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
        over = _shape(node.iter, shapes)
        shapes = {**shapes, node.target.name: over.items() if over is not None else Shape()}
    for child in node.iter_child_nodes():
        _visit(child, shapes)


def _shape(node: nodes.Node, shapes: Mapping[str, Shape]) -> Shape | None:
    """The shape of `name` or `name.key.key`; None for any other expression."""
    if isinstance(node, nodes.Name):
        return shapes.get(node.name)
    if isinstance(node, nodes.Getattr):
        owner = _shape(node.node, shapes)
        return owner.key(node.attr) if owner is not None else None
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
