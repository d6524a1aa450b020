"""A strict reader of YAML files: plain values, each with its line.

No aliases, no tags, no duplicate keys, and no values that only look like strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, and needs quotes in a few more places
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_PLAIN_TAGS = {f"tag:yaml.org,2002:{tag}" for tag in ("str", "int", "float", "bool", "null", "map", "seq")}

_DATE_TAG = "tag:yaml.org,2002:timestamp"


class FileFormatError(Exception):
    """An error in a file. `line` counts from 1; 0 = it concerns the whole file."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line. The values of a mapping or list are nodes, too."""

    line: int
    content: Any

    @property
    def value(self) -> Any:
        """The plain value, without lines."""
        if isinstance(self.content, dict):
            return {key: node.value for key, node in self.content.items()}
        if isinstance(self.content, list):
            return [node.value for node in self.content]
        return self.content

    def mapping(self, what: str) -> dict[str, "Node"]:
        if not isinstance(self.content, dict):
            raise FileFormatError(f"{what} must be a mapping", self.line)
        return self.content


def read_yaml(
    text: str, first_line: int, faults: list[FileFormatError] | None = None, *, dates_are_text: bool = False
) -> Node:
    """Parse a text. Raises `FileFormatError`. `first_line` is the line of the file that it begins on.

    With `faults`, only text that is no YAML raises it: other faults are added there, and what they concern is left out.
    `dates_are_text`: a date is read as the text that was written. Otherwise it is a fault.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise FileFormatError("is empty", first_line)
            return _Converter(loader, first_line, faults, dates_are_text=dates_are_text).node(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = first_line + (error.problem_mark.line if error.problem_mark else 0)
        raise FileFormatError(f"is not valid YAML: {error.problem}", line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileFormatError("is not valid YAML", first_line) from error


class _Converter:
    """Makes nodes with lines of a parsed text."""

    def __init__(
        self, loader: Any, first_line: int, faults: list[FileFormatError] | None, *, dates_are_text: bool
    ) -> None:
        self._loader = loader
        self._dates_are_text = dates_are_text
        self._first_line = first_line
        self._faults = faults
        self._seen: set[int] = set()

    def node(self, node: yaml.Node, near: int = 0) -> Node:
        """`near`: where an alias would stand, counted from 0. It is the same node again, with the line of its anchor."""
        line = self._first_line + node.start_mark.line
        if id(node) in self._seen:
            self._fault("may not use an alias (*name)", self._first_line + near)
            return Node(self._first_line + near, None)
        self._seen.add(id(node))
        if self._dates_are_text and node.tag == _DATE_TAG:
            return Node(line, node.value)
        if node.tag not in _PLAIN_TAGS:
            self._fault(f"may not use a value of the type {node.tag.rsplit(':', 1)[-1]}: put it in quotes", line)
            return Node(line, None)
        if isinstance(node, yaml.SequenceNode):
            return Node(line, self._sequence(node))
        if isinstance(node, yaml.MappingNode):
            return Node(line, self._mapping(node))
        return Node(line, self._loader.construct_object(node))

    def _sequence(self, node: yaml.SequenceNode) -> list[Node]:
        items: list[Node] = []
        near = node.start_mark.line
        for child in node.value:
            items.append(self.node(child, near))
            near = max(near, child.end_mark.line)
        return items

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        content: dict[str, Node] = {}
        near = node.start_mark.line
        for key_node, value_node in node.value:
            key = self.node(key_node, near)
            near = max(near, key_node.end_mark.line)
            value = self.node(value_node, near)
            near = max(near, value_node.end_mark.line)
            if not isinstance(key.content, str):
                self._fault(f"the key {key.value!r} must be a string: put it in quotes", key.line)
            elif key.content in content:
                self._fault(f"{key.content} appears twice", key.line)
            else:
                content[key.content] = value
        return content

    def _fault(self, message: str, line: int) -> None:
        fault = FileFormatError(message, line)
        if self._faults is None:
            raise fault
        self._faults.append(fault)


def text_value(key: str, node: Node) -> str:
    """The stripped text. Raises `FileFormatError` for any other value."""
    if not isinstance(node.content, str):
        raise FileFormatError(f"{key} must be text", node.line)
    return node.content.strip()


def refuse_unknown_keys(where: str, unknown: Mapping[str, Node]) -> None:
    """Raise `FileFormatError` for the first of these keys, if there are any."""
    for key, node in unknown.items():
        raise FileFormatError(f"{where + '.' if where else ''}{key} is not a supported key", node.line)
