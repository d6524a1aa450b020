"""The reader of `.prompty` files: YAML front matter, then `system:` and `user:` sections in Jinja2.

Stricter than the format's own loader: every key, type and value must be one that the service uses, and each fault
names its line. Roles are split before anything is rendered.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from llm_service.core.parameters import MAIN_INPUT, Input, Kind
from llm_service.core.rendering import Section, SectionError
from llm_service.core.templates import Template

from .prompty_yaml import Node, PromptyError, read_yaml

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# As the format's own parser finds them, so that both agree on where a message begins.
_ROLE = re.compile(r"^[ \t]*#?[ \t]*(system|user|assistant|developer|tool|function)[ \t]*:[ \t]*$", re.I | re.M)
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What the Responses API takes, by its name in the file: its name there, and the check of its value.
_OPTIONS: Mapping[str, tuple[str, Callable[[Any], str | None]]]
_INPUT_KEYS = {
    "name", "kind", "description", "required", "default", "enumValues", "example",
    "minimum", "maximum", "minLength", "maxLength", "pattern",
}  # fmt: skip


def parse_prompty(template_id: str, text: str, *, default_max_chars: int) -> Template:
    """Raises `PromptyError`. `default_max_chars` bounds the strings that declare no `maxLength`."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise PromptyError("must begin with front matter between two lines of ---", 1)
    front = read_yaml(match[1], first_line=2)
    reader = _Front(front)
    body_line = text[: match.end()].count("\n") + 1
    system, user = _split_roles(text[match.end() :], body_line)
    inputs = reader.inputs(default_max_chars)
    sections = {"system": _compile(*system, inputs), "user": _compile(*user, inputs)}
    model, options = reader.model()
    name, description = reader.text("name", required=True), reader.text("description")
    reader.refuse_unknown()
    return Template(
        template_id=template_id,
        name=name,
        description=description,
        revision=_revision(front.value, sections),
        model=model,
        options=options,
        inputs=inputs,
        system=sections["system"],
        user=sections["user"],
        source=text,
    )


class _Front:
    """Takes the front matter's keys one by one; what nobody took is an error."""

    def __init__(self, node: Node) -> None:
        self._line = node.line
        self._left = dict(node.mapping("the front matter"))

    def text(self, key: str, *, required: bool = False) -> str:
        node = self._left.pop(key, None)
        if node is None:
            if required:
                raise PromptyError(f"{key} is missing", self._line)
            return ""
        return _text(key, node)

    def model(self) -> tuple[str | None, dict[str, Any]]:
        node = self._left.pop("model", None)
        if node is None:
            return None, {}
        if isinstance(node.content, str):
            return node.content, {}
        keys = dict(node.mapping("model"))
        model_id = _text("model.id", keys.pop("id")) if "id" in keys else None
        options = dict(keys.pop("options").mapping("model.options")) if "options" in keys else {}
        _refuse_keys("model", keys)
        known = {name: options.pop(name) for name in list(options) if name in _OPTIONS}
        _refuse_keys("model.options", options)
        return model_id, {_OPTIONS[name][0]: _option(name, node) for name, node in known.items()}

    def inputs(self, default_max_chars: int) -> tuple[Input, ...]:
        node = self._left.pop("inputs", None)
        if node is None or not isinstance(node.content, list):
            raise PromptyError(
                "inputs must be a list with at least the input named input", node.line if node else self._line
            )
        inputs: dict[str, Input] = {}
        for item in node.content:
            one = _input(item, default_max_chars)
            if one.name in inputs:
                raise PromptyError(f"the input {one.name} stands here twice", item.line)
            inputs[one.name] = one
        main = inputs.get(MAIN_INPUT)
        if main is None or main.kind is not Kind.STRING or not main.required:
            raise PromptyError("inputs must declare the main text: name: input, kind: string, required", node.line)
        return tuple(inputs.values())

    def refuse_unknown(self) -> None:
        _refuse_keys("", self._left)


def _refuse_keys(where: str, left: Mapping[str, Node]) -> None:
    for key, node in left.items():
        raise PromptyError(f"{where + '.' if where else ''}{key} is not a key that the service knows", node.line)


def _text(key: str, node: Node) -> str:
    if not isinstance(node.content, str):
        raise PromptyError(f"{key} must be text", node.line)
    return node.content.strip()


def _option(name: str, node: Node) -> Any:
    message = _OPTIONS[name][1](node.content)
    if message:
        raise PromptyError(f"model.options.{name} {message}", node.line)
    return node.content


def _number_between(low: float, high: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and low <= value <= high else f"must be a number between {low:g} and {high:g}"

    return check


def _positive_integer(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000
    return None if good else "must be an integer between 1 and 1,000,000"


_OPTIONS = {
    "temperature": ("temperature", _number_between(0, 2)),
    "topP": ("top_p", _number_between(0, 1)),
    "maxOutputTokens": ("max_output_tokens", _positive_integer),
}


def _input(node: Node, default_max_chars: int) -> Input:
    keys = node.mapping("an input")
    _refuse_keys("inputs", {key: value for key, value in keys.items() if key not in _INPUT_KEYS})
    plain = node.value
    name = plain.get("name")
    if not isinstance(name, str) or not _INPUT_NAME.fullmatch(name):
        raise PromptyError("an input needs a name of small letters, digits and _", node.line)
    kind = plain.get("kind")
    if kind not in {one.value for one in Kind}:
        raise PromptyError(f"{name}: kind must be one of: {', '.join(Kind)}", node.line)
    bounds = _bounds(name, Kind(kind), keys, default_max_chars)
    required = plain.get("required", "default" not in plain)
    if not isinstance(required, bool):
        raise PromptyError(f"{name}: required must be true or false", keys["required"].line)
    if required and "default" in plain:
        raise PromptyError(f"{name}: what is required takes no default", keys["default"].line)
    default = plain.get("default", "" if kind == Kind.STRING else None)
    one = Input(
        name=name,
        kind=Kind(kind),
        description=_text("description", keys["description"]) if "description" in keys else "",
        required=required,
        default=None if required else default,
        enum=_enum(name, keys),
        example=plain.get("example"),
        **bounds,
    )
    _check_own_values(one, keys)
    return one


def _enum(name: str, keys: Mapping[str, Node]) -> tuple[Any, ...]:
    if "enumValues" not in keys:
        return ()
    node = keys["enumValues"]
    values = node.value
    if not isinstance(values, list) or not values or any(isinstance(value, list | dict) for value in values):
        raise PromptyError(f"{name}: enumValues must be a list of plain values", node.line)
    return tuple(values)


def _bounds(name: str, kind: Kind, keys: Mapping[str, Node], default_max_chars: int) -> dict[str, Any]:
    """The bounds that the kind takes; strings, arrays and objects always get a largest length."""
    number, sized = kind in (Kind.INTEGER, Kind.FLOAT), kind in (Kind.STRING, Kind.ARRAY, Kind.OBJECT)
    fits = {
        "minimum": number,
        "maximum": number,
        "minLength": sized,
        "maxLength": sized,
        "pattern": kind is Kind.STRING,
    }
    for key, good in fits.items():
        if key in keys and not good:
            raise PromptyError(f"{name}: {key} has no meaning for the kind {kind}", keys[key].line)
    bounds: dict[str, Any] = {"max_length": default_max_chars if sized and "enumValues" not in keys else None}
    for key, field in (
        ("minimum", "minimum"),
        ("maximum", "maximum"),
        ("minLength", "min_length"),
        ("maxLength", "max_length"),
    ):
        if key in keys:
            value = keys[key].value
            wanted = int if field.endswith("length") else (int, float)
            if isinstance(value, bool) or not isinstance(value, wanted) or (field.endswith("length") and value < 0):
                raise PromptyError(f"{name}: {key} must be a number", keys[key].line)
            bounds[field] = value
    if "pattern" in keys:
        bounds["pattern"] = _text("pattern", keys["pattern"])
        try:
            re.compile(bounds["pattern"])
        except re.error as error:
            raise PromptyError(f"{name}: pattern is not a regular expression: {error}", keys["pattern"].line) from error
    return bounds


def _check_own_values(one: Input, keys: Mapping[str, Node]) -> None:
    """A default or an example that the input itself would refuse is a fault of the file."""
    for key, value in (("default", one.default), ("example", one.example)):
        if key in keys and not (key == "default" and value is None):
            message = one.check(value)
            if message:
                raise PromptyError(f"{one.name}: the {key} {message}", keys[key].line)


def _split_roles(body: str, first_line: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """The text of the system and of the user section, each with the line of the file that it begins on."""
    marks = list(_ROLE.finditer(body))
    before = body[: marks[0].start()] if marks else body
    if before.strip():
        raise PromptyError("text stands before the first section: begin with a line system: or user:", first_line)
    found: dict[str, tuple[str, int]] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        role, line = mark[1].lower(), first_line + body[: mark.start(1)].count("\n")
        if role not in ("system", "user"):
            raise PromptyError(f"{role}: is not a section that the service knows (system: and user: are)", line)
        if role in found:
            raise PromptyError(f"{role}: stands here twice", line)
        text = body[mark.end() : following.start() if following else None]
        blank = len(text) - len(text.lstrip())
        found[role] = (text.strip(), line + text[:blank].count("\n"))
    if "user" not in found or not found["user"][0]:
        raise PromptyError("the user: section is missing or empty", first_line)
    return found.get("system", ("", first_line)), found["user"]


def _compile(text: str, line: int, inputs: tuple[Input, ...]) -> Section:
    try:
        section = Section(text)
    except SectionError as error:
        raise PromptyError(error.message, line + error.line - 1) from error
    for name in sorted(section.variables - {one.name for one in inputs}):
        raise PromptyError(f"{name} is used here but not declared in inputs", line + section.line_of(name) - 1)
    return section


def _revision(front: Any, sections: Mapping[str, Section]) -> str:
    content = {"front": front, "sections": {role: section.text for role, section in sections.items()}}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
