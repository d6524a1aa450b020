"""Reads the values of a mapping. Every fault is kept with its line, and reading goes on."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from ...strict_yaml import FileFormatError, Node

_WORDS = re.compile(r"[A-Za-z_-]{1,40}", re.ASCII)
Number = TypeVar("Number", int, float)


class Section:
    """A mapping of the file. A value that is missing or wrong is None."""

    def __init__(self, where: str, node: Node, keys: Mapping[str, str], faults: list[FileFormatError]) -> None:
        """`where`: its name in faults. `keys`: the known keys; for a wrong one that is likely, what to do instead."""
        self.where = where
        self.line = node.line
        self.faults = faults
        self.is_mapping = isinstance(node.content, dict)
        self._content: dict[str, Node] = {}
        if not isinstance(node.content, dict):
            faults.append(FileFormatError(f"{where} must be a mapping", node.line))
            return
        known = [key for key, remedy in keys.items() if not remedy]
        for key, value in node.content.items():
            if key in known:
                self._content[key] = value
            else:
                remedy = keys.get(key) or f"the keys are {', '.join(known)}"
                # Somebody may have pasted an API key here. It has digits, so it is not quoted.
                shown = f"{where}.{key}" if _WORDS.fullmatch(key) else f"a key of {where}"
                faults.append(FileFormatError(f"{shown} is not a supported key: {remedy}", value.line))

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def node(self, key: str) -> Node | None:
        return self._content.get(key)

    def fault(self, key: str, message: str) -> None:
        node = self._content.get(key)
        self.faults.append(FileFormatError(f"{self.where}.{key} {message}", node.line if node else self.line))

    def text(self, key: str) -> str | None:
        value = self._content[key].content if key in self._content else None
        if value is None:
            if key in self._content:
                self.fault(key, "must be text")
            return None
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.fault(key, "must be printable text")
            return None
        return value.strip()

    def choice(self, key: str, allowed: Collection[str]) -> str | None:
        value = self.text(key)
        if value is not None and value not in allowed:
            self.fault(key, f"must be one of: {', '.join(allowed)}")
            return None
        return value

    def flag(self, key: str) -> bool | None:
        if key not in self._content:
            return None
        value = self._content[key].content
        if not isinstance(value, bool):
            self.fault(key, "must be true or false")
            return None
        return value

    def integer(self, key: str, low: int, high: int) -> int | None:
        value = self._content[key].content if key in self._content else low
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fault(key, f"must be an integer between {low:,} and {high:,}")
            return None
        return value if key in self._content else None

    def number(self, key: str, low: float, high: float) -> float | None:
        value = self._content[key].content if key in self._content else low
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fault(key, f"must be a number between {low:,.10g} and {high:,.10g}")
            return None
        return float(value) if key in self._content else None

    def sections(self, key: str, keys: Mapping[str, str]) -> Iterator["Section"]:
        """The mapping at `key`, if there is one."""
        if key in self._content:
            yield Section(f"{self.where}.{key}", self._content[key], keys, self.faults)
