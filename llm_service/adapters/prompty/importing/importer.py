"""Makes one prompt file of this service from a public one, or says why it cannot.

What it writes is read back and rendered with its examples: it loads, or it is refused.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from llm_service.core.errors import InputError
from llm_service.core.templates.model import TEMPLATE_ID, Template, version_of

from ...strict_yaml import FileFormatError, read_yaml
from ..parser import parse_prompty
from ..properties import read_inputs
from .body import Body, from_mustache, read_body, used_variables
from .faults import Fault, ImportRefused
from .front import PublicFront, PublicInput, read_front
from .variables import Use, new_names, renamed

_FRONT_MATTER = re.compile(r"\A\ufeff?\s*^---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
MAX_CHARS = 5000
NAME = "input"

ChooseInput = Callable[[Sequence[str]], str | None]
"""Asks which of these variables is the main text; None = nobody answers."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`text` is the file to write. `notes`: what was dropped and changed; `warnings`: what to look at."""

    template_id: str
    text: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def import_prompty(stem: str, text: str, *, main: str | None, choose: ChooseInput) -> Imported:
    """`stem`: the file's name without its ending. `main`: the variable that becomes `input`, if the caller named one.

    Raises `ImportRefused` with all faults.
    """
    text = text.replace("\r\n", "\n")
    match = _FRONT_MATTER.match(text)
    front = read_front(match[1], _line_at(text, match.start(1))) if match else PublicFront()
    end = match.end() if match else 0
    body = read_body(text[end:], _line_at(text, end), split=not front.completion)
    if match is None and text.lstrip("\ufeff \t\n").startswith("---\n"):
        raise ImportRefused([Fault(1, "the front matter has no end", "write a line --- below it")])
    if front.mustache:
        from_mustache(body)
    uses = used_variables(body)
    if not body.sections:
        body.faults.append(Fault(0, "the file has no text", "add a line user: and the prompt below it"))
    if faults := [*front.faults, *body.faults]:
        raise ImportRefused(sorted(faults, key=lambda fault: fault.line))
    inputs = {name: _with_shown_default(front.inputs.get(name), use) for name, use in uses.items()}
    chosen = _main_variable(inputs, uses, main, choose)
    names = new_names(list(uses), chosen)
    if faults := list(_input_faults(inputs, uses, names)):
        raise ImportRefused(sorted(faults, key=lambda fault: fault.line))
    template_id = _template_id(stem)
    written = _written(stem, front, body, inputs, uses, names)
    warnings = (*_not_followed(main, chosen), *body.warnings, *_role_loops(body))
    _check(template_id, written)
    return Imported(template_id, written, tuple(_notes(front, body, uses, names)), warnings)


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _with_shown_default(declared: PublicInput | None, use: Use) -> PublicInput:
    """`{{ tone | default("calm") }}` says what an undeclared default is."""
    given = declared or PublicInput(use.line)
    if given.default is not None or given.required:
        return given
    return replace(given, default=use.shape.default)


def _main_variable(inputs: dict[str, PublicInput], uses: dict[str, Use], main: str | None, choose: ChooseInput) -> str:
    texts = [name for name, declared in inputs.items() if _kind(declared, uses[name]) == "string"]
    if main is not None and main in texts:
        return main
    if NAME in texts:
        return NAME
    required = [name for name in texts if inputs[name].default is None and inputs[name].required is not False]
    candidates = required or texts
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        return NAME  # the prompt has no text of the caller's: it gets one
    answer = choose(candidates)
    if answer not in candidates:
        listed = ", ".join(candidates)
        fault = Fault(
            inputs[candidates[0]].line,
            f"several inputs could be the main text: {listed}",
            "choose one with --input NAME",
        )
        raise ImportRefused([fault])
    return answer


def _not_followed(main: str | None, chosen: str) -> list[str]:
    """`main` may be meant for other files of the same command."""
    if main is None or main == chosen:
        return []
    return [f"the text uses no text {main}: the main text is {chosen}"]


def _input_faults(inputs: dict[str, PublicInput], uses: dict[str, Use], names: dict[str, str]) -> Iterator[Fault]:
    """What this service does not take of the declarations, with the lines of the public file."""
    for name, given in inputs.items():
        declared = _declared(names[name], given, uses[name], main=names[name] == NAME)
        try:
            read_inputs(read_yaml(yaml.safe_dump([declared]), 1), MAX_CHARS)
        except FileFormatError as error:
            yield Fault(given.line, f"input {error.message}", "correct it in the file")


def _kind(declared: PublicInput, use: Use) -> str:
    """Lists and objects as the text reads them; else as declared; else as the values are; else as the text uses it."""
    known = declared.sample if declared.sample is not None else declared.default
    needed = use.shape.needed_kind
    if (needed == "array" and not isinstance(known, dict)) or (needed == "object" and not isinstance(known, list)):
        return needed
    if declared.kind:
        return declared.kind
    kinds = ((bool, "boolean"), (int, "integer"), (float, "float"), (list, "array"), (dict, "object"), (str, "string"))
    return next((name for kind, name in kinds if isinstance(known, kind)), needed or "string")


def _written(
    stem: str,
    front: PublicFront,
    body: Body,
    inputs: dict[str, PublicInput],
    uses: dict[str, Use],
    names: dict[str, str],
) -> str:
    declared = [_declared(names[name], given, uses[name], main=names[name] == NAME) for name, given in inputs.items()]
    if NAME not in (each["name"] for each in declared):
        declared.insert(0, {"name": NAME, "kind": "string", "required": True, "example": "Hello"})
    head: dict[str, Any] = {"name": front.name or stem.replace("_", " ").replace("-", " ").capitalize()}
    if front.description:
        head["description"] = front.description
    if front.options:
        head["model"] = {"options": front.options}
    head["inputs"] = sorted(declared, key=lambda each: each["name"] != NAME)
    if front.outputs and front.wants_json:
        head["outputs"] = front.outputs
    yaml_text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{yaml_text}---\n{_sections(body, names)}"


def _sections(body: Body, names: dict[str, str]) -> str:
    texts = {role: renamed(section.text, names) for role, section in body.sections.items()}
    if "user" not in texts:
        texts["user"] = "{{ input }}"
    return "\n\n".join(f"{role}:\n{texts[role]}" for role in ("system", "user") if role in texts) + "\n"


def _declared(name: str, given: PublicInput, use: Use, *, main: bool) -> dict[str, Any]:
    kind = "string" if main else _kind(given, use)
    declared: dict[str, Any] = {"name": name, "kind": kind}
    if given.description:
        declared["description"] = given.description
    default, sample = _as_kind(kind, given.default), use.shape.completed(_as_kind(kind, given.sample))
    declared |= given.bounds
    if main:
        declared["required"], sample = True, next((text for text in (sample, default) if text and text.strip()), None)
    elif default is not None:
        declared["default"] = default
    else:
        declared["required"] = given.required is not False
    example = sample if sample is not None else _made_up(name, kind, use) if default is None or main else None
    if example is not None:
        declared["example"] = example
        longest = max(len(str(example)), len(str(default or "")))
        if longest > MAX_CHARS // 2 and kind in ("string", "array", "object"):
            declared.setdefault("maxLength", 4 * longest)
    return declared


def _as_kind(kind: str, value: Any) -> Any:
    """The value, if it is of that kind: files often give one of another."""
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "integer": int, "float": (int, float), "boolean": bool, "array": list, "object": dict
    }  # fmt: skip
    good = isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return value if good else None


def _made_up(name: str, kind: str, use: Use) -> Any:
    """A value with which the text renders."""
    if use.shape.keys or use.shape.item is not None:
        return use.shape.example(name)
    return {"string": "text", "array": ["text"], "object": {}}.get(kind)


def _template_id(stem: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    name = name if name[:1].isalpha() else f"prompt_{name}".rstrip("_")
    name = name[:60].rstrip("_")
    template_id = name if version_of(name) else f"{name}_v1"
    assert TEMPLATE_ID.fullmatch(template_id)
    return template_id


def _role_loops(body: Body) -> list[str]:
    """Loops that write role lines: other loaders split these after rendering, this service never does."""
    found = []
    for section in body.sections.values():
        if match := re.search(r"^\s*\{\{\s*\w+\.role\s*\}\}\s*:", section.text, re.MULTILINE):
            line = section.first_line + section.text.count("\n", 0, match.start())
            found.append(f"line {line}: the roles of this loop are plain text here, not messages of their own")
    return found


def _notes(front: PublicFront, body: Body, uses: dict[str, Use], names: dict[str, str]) -> list[str]:
    unused = [
        f"line {given.line}: input {name} (the text does not use it)"
        for name, given in front.inputs.items()
        if name not in uses
    ]
    unused += [
        f"line {given.line}: {what} of {name}, which is no {kind}"
        for name, given in front.inputs.items()
        if name in uses
        for kind in ["string" if names[name] == NAME else _kind(given, uses[name])]
        for what, value in (("the default", given.default), ("the sample", given.sample))
        if value is not None and _as_kind(kind, value) is None
    ]
    outputs = ["outputs (the file does not ask for JSON)"] if front.outputs and not front.wants_json else []
    changed = [f"input {name} is now {new}" for name, new in names.items() if name in uses and name != new]
    changed += ["user: was missing; it holds the input now"] if "user" not in body.sections else []
    return [
        *(f"dropped: {each}" for each in (*front.dropped, *unused, *outputs)),
        *(f"changed: {each}" for each in (*body.changes, *changed)),
    ]


def _check(template_id: str, text: str) -> None:
    """Read it as the service does, and render its examples."""
    try:
        template = parse_prompty(template_id, text, default_max_chars=MAX_CHARS)
        _render(template)
    except FileFormatError as error:
        raise ImportRefused(
            [Fault(0, f"what was made of it does not load: {error.message}", "change the file and try again")]
        ) from error
    except InputError as error:
        raise ImportRefused(
            [
                Fault(
                    0,
                    f"it cannot be rendered with its examples: {error.detail.rstrip('.')}",
                    "give each input an example or a default",
                )
            ]
        ) from error


def _render(template: Template) -> None:
    example = template.example()
    template.render(example["input"], example.get("parameters", {}))
