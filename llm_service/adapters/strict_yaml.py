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


def read_yaml(text: str, first_line: int) -> Node:
    """Parse a text. Raises `FileFormatError`. `first_line` is the line of the file that it begins on."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise FileFormatError("is empty", first_line)
            return _convert(root, loader, first_line, set())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = first_line + (error.problem_mark.line if error.problem_mark else 0)
        raise FileFormatError(f"is not valid YAML: {error.problem}", line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileFormatError("is not valid YAML", first_line) from error


def _convert(node: yaml.Node, loader: Any, first_line: int, seen: set[int]) -> Node:
    line = first_line + node.start_mark.line
    if id(node) in seen:
        raise FileFormatError("may not use an alias (*name)", line)
    seen.add(id(node))
    if node.tag not in _PLAIN_TAGS:
        raise FileFormatError(f"may not use a value of the type {node.tag.rsplit(':', 1)[-1]}: put it in quotes", line)
    if isinstance(node, yaml.SequenceNode):
        return Node(line, [_convert(child, loader, first_line, seen) for child in node.value])
    if isinstance(node, yaml.MappingNode):
        return Node(line, _convert_mapping(node, loader, first_line, seen))
    return Node(line, loader.construct_object(node))


def _convert_mapping(node: yaml.MappingNode, loader: Any, first_line: int, seen: set[int]) -> dict[str, Node]:
    content: dict[str, Node] = {}
    for key_node, value_node in node.value:
        key = _convert(key_node, loader, first_line, seen)
        if not isinstance(key.content, str):
            raise FileFormatError(f"the key {key.value!r} must be a string: put it in quotes", key.line)
        if key.content in content:
            raise FileFormatError(f"{key.content} appears twice", key.line)
        content[key.content] = _convert(value_node, loader, first_line, seen)
    return content


def text_value(key: str, node: Node) -> str:
    """The stripped text. Raises `FileFormatError` for any other value."""
    if not isinstance(node.content, str):
        raise FileFormatError(f"{key} must be text", node.line)
    return node.content.strip()


def refuse_unknown_keys(where: str, unknown: Mapping[str, Node]) -> None:
    """Raise `FileFormatError` for the first of these keys, if there are any."""
    for key, node in unknown.items():
        raise FileFormatError(f"{where + '.' if where else ''}{key} is not a supported key", node.line)
