"""The properties of a prompt file's inputs and outputs."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_service.core.errors import FieldError
from llm_service.core.templates.patterns import PatternError, check_pattern
from llm_service.core.templates.properties import Property, PropertyKind, including_raised, sample_value

from ..strict_yaml import FileFormatError, Node, refuse_unknown_keys, text_value

# The limit of OpenAI's strict schemas.
MAX_PROPERTY_DEPTH = 8
# Words that Jinja2 does not read as variables.
_RESERVED = frozenset({"and", "else", "false", "for", "if", "in", "is", "loop", "none", "not", "or", "self", "true"})
_NUMBERS = (PropertyKind.INTEGER, PropertyKind.FLOAT)
_SIZED = (PropertyKind.STRING, PropertyKind.ARRAY, PropertyKind.OBJECT)
# The bounds by their keys in the file: the field, the kinds that allow it, and whether it counts something.
_BOUNDS: Mapping[str, tuple[str, tuple[PropertyKind, ...], bool]] = {
    "minimum": ("minimum", _NUMBERS, False),
    "maximum": ("maximum", _NUMBERS, False),
    "minLength": ("min_length", (PropertyKind.STRING,), True),
    "maxLength": ("max_length", _SIZED, True),
    "minItems": ("min_items", (PropertyKind.ARRAY,), True),
    "maxItems": ("max_items", (PropertyKind.ARRAY,), True),
}
_PAIRS = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))
_KEYS = {"kind", "description", "enumValues", "example", "pattern", "items", "properties", *_BOUNDS}


@dataclass(frozen=True, slots=True)
class _Rules:
    """How inputs and outputs differ. `outer`: keys of the outermost properties; `inner`: keys of nested ones."""

    names: re.Pattern[str]
    letters: str
    outer: frozenset[str]
    inner: frozenset[str]
    max_chars: int | None
    needs_contents: bool


def read_inputs(node: Node, default_max_chars: int) -> tuple[Property, ...]:
    """The inputs. `default_max_chars` is the limit of those without `maxLength`.

    Raises `FileFormatError`, like all functions here.
    """
    rules = _Rules(
        names=re.compile(r"[a-z][a-z0-9_]{0,63}"),
        letters="lowercase letters",
        outer=frozenset({"name", "required", "default"}),
        inner=frozenset({"name", "required"}),
        max_chars=default_max_chars,
        needs_contents=False,
    )
    return _PropertyReader(rules).properties(node, "", 1)


def read_outputs(node: Node) -> tuple[Property, ...]:
    """The outputs. Those that are not required may be `null`; arrays and objects must declare their contents."""
    keys = frozenset({"name", "required", "nullable"})
    names = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
    return _PropertyReader(_Rules(names, "letters", keys, keys, None, needs_contents=True)).properties(node, "", 1)


@dataclass(frozen=True, slots=True)
class _PropertyReader:
    rules: _Rules

    def properties(self, node: Node, where: str, depth: int) -> tuple[Property, ...]:
        if not isinstance(node.content, list) or not node.content:
            raise FileFormatError(f"{where or 'it'} must be a list of properties with name and kind", node.line)
        found: dict[str, Property] = {}
        for item in node.content:
            declared = self._named(item, where, depth)
            name = declared.name
            if name in found:
                raise FileFormatError(f"{where}{'.' if where else ''}{name} appears twice", item.line)
            if depth == 1 and declared.required and _errors(declared, sample_value(declared), name):
                raise FileFormatError(f"{name} needs an example: no valid one can be made up", item.line)
            found[name] = declared
        return tuple(found.values())

    def _named(self, node: Node, where: str, depth: int) -> Property:
        keys = node.mapping("a property")
        name = keys["name"].content if "name" in keys else None
        if not isinstance(name, str) or not self.rules.names.fullmatch(name) or name.lower() in _RESERVED:
            raise FileFormatError(f"a property needs a name of {self.rules.letters}, digits and _", node.line)
        path = f"{where}.{name}" if where else name
        return self._property(node, path, name, self.rules.outer if depth == 1 else self.rules.inner, depth)

    def _property(self, node: Node, path: str, name: str, own: frozenset[str], depth: int) -> Property:
        keys = node.mapping(path)
        refuse_unknown_keys(path, {key: value for key, value in keys.items() if key not in _KEYS | own})
        if depth > MAX_PROPERTY_DEPTH:
            raise FileFormatError(f"{path} is nested more than {MAX_PROPERTY_DEPTH} levels deep", node.line)
        kind = _kind(path, node, keys)
        required = _flag(path, "required", keys, "default" not in keys)
        if required and "default" in keys:
            raise FileFormatError(f"{path}: a required property cannot have a default", keys["default"].line)
        declared = Property(
            name=name,
            kind=kind,
            description=text_value("description", keys["description"]) if "description" in keys else "",
            required=required,
            nullable="nullable" in own and _flag(path, "nullable", keys, not required),
            default=keys["default"].value if "default" in keys else None,
            enum=_enum(path, kind, keys),
            example=keys["example"].value if "example" in keys else None,
            items=self._items(path, kind, node, keys, depth),
            properties=self._nested(path, kind, node, keys, depth),
            pattern=_pattern(path, kind, keys),
            **self._bounds(path, kind, keys, depth),
        )
        _check_own_values(declared, path, keys)
        return declared

    def _items(
        self, path: str, kind: PropertyKind, node: Node, keys: Mapping[str, Node], depth: int
    ) -> Property | None:
        if kind is not PropertyKind.ARRAY:
            _refuse_meaningless(path, kind, "items", keys)
        elif "items" in keys:
            return self._property(keys["items"], f"{path}.items", "", frozenset(), depth + 1)
        elif self.rules.needs_contents:
            raise FileFormatError(f"{path}: an array needs items, which declares each of them", node.line)
        return None

    def _nested(
        self, path: str, kind: PropertyKind, node: Node, keys: Mapping[str, Node], depth: int
    ) -> tuple[Property, ...] | None:
        if kind is not PropertyKind.OBJECT:
            _refuse_meaningless(path, kind, "properties", keys)
        elif "properties" in keys:
            return self.properties(keys["properties"], path, depth + 1)
        elif self.rules.needs_contents:
            raise FileFormatError(f"{path}: an object needs properties, a list of its keys", node.line)
        return None

    def _bounds(self, path: str, kind: PropertyKind, keys: Mapping[str, Node], depth: int) -> dict[str, Any]:
        bounds: dict[str, Any] = {}
        for key, (field, kinds, counts) in _BOUNDS.items():
            if key in keys:
                if kind not in kinds:
                    _refuse_meaningless(path, kind, key, keys)
                bounds[field] = _bound(path, key, keys[key], counts)
        for low, high in _PAIRS:
            if low in keys and high in keys and keys[low].value > keys[high].value:
                raise FileFormatError(f"{path}: {low} is greater than {high}", keys[low].line)
        if depth == 1 and kind in _SIZED and "enumValues" not in keys:
            bounds.setdefault("max_length", self.rules.max_chars)
        return bounds


def _kind(path: str, node: Node, keys: Mapping[str, Node]) -> PropertyKind:
    value = keys["kind"].content if "kind" in keys else None
    if value not in tuple(PropertyKind):
        raise FileFormatError(
            f"{path}: kind must be one of: {', '.join(PropertyKind)}", (keys.get("kind") or node).line
        )
    return PropertyKind(value)


def _flag(path: str, key: str, keys: Mapping[str, Node], default: bool) -> bool:
    value = keys[key].content if key in keys else default
    if not isinstance(value, bool):
        raise FileFormatError(f"{path}: {key} must be true or false", keys[key].line)
    return value


def _refuse_meaningless(path: str, kind: PropertyKind, key: str, keys: Mapping[str, Node]) -> None:
    if key in keys:
        raise FileFormatError(f"{path}: {key} is not allowed for the kind {kind}", keys[key].line)


def _bound(path: str, key: str, node: Node, counts: bool) -> float:
    value = node.value
    good = isinstance(value, int if counts else int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or (counts and value < 0):
        raise FileFormatError(
            f"{path}: {key} must be {'an integer of at least 0' if counts else 'a number'}", node.line
        )
    return value  # type: ignore[no-any-return]


def _pattern(path: str, kind: PropertyKind, keys: Mapping[str, Node]) -> str | None:
    if "pattern" not in keys:
        return None
    if kind is not PropertyKind.STRING:
        _refuse_meaningless(path, kind, "pattern", keys)
    pattern = text_value("pattern", keys["pattern"])
    try:
        check_pattern(pattern)
    except PatternError as error:
        raise FileFormatError(f"{path}: pattern is not a regular expression: {error}", keys["pattern"].line) from error
    return pattern


def _enum(path: str, kind: PropertyKind, keys: Mapping[str, Node]) -> tuple[Any, ...]:
    if "enumValues" not in keys:
        return ()
    node = keys["enumValues"]
    if bound := next((key for key in ("pattern", *_BOUNDS) if key in keys), None):
        raise FileFormatError(f"{path}: {bound} has no effect with enumValues", keys[bound].line)
    values = node.value
    if not isinstance(values, list) or not values or kind in (PropertyKind.ARRAY, PropertyKind.OBJECT):
        raise FileFormatError(f"{path}: enumValues must be a list of plain values", node.line)
    plain = Property("", kind)
    for value in values:
        for error in _errors(plain, value, path):
            raise FileFormatError(f"{path}: {value!r} in enumValues {error.message}", node.line)
        if values.count(value) > 1:
            raise FileFormatError(f"{path}: {value!r} appears in enumValues twice", node.line)
    return tuple(values)


def _check_own_values(declared: Property, path: str, keys: Mapping[str, Node]) -> None:
    """Refuse a default or example that the property itself would refuse."""
    for key, value in (("default", declared.default), ("example", declared.example)):
        if key in keys and not (key == "default" and value is None):
            for error in _errors(declared, value, path):
                raise FileFormatError(f"{error.field}: the {key} {error.message}", keys[key].line)


def _errors(declared: Property, value: Any, path: str) -> list[FieldError]:
    return list(including_raised(declared.check(value, path)))
