"""The front matter of a public prompt file, of the format's first or second version."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...strict_yaml import FileFormatError, Node, read_yaml
from ..parser import read_option
from .faults import Fault

_KINDS = {
    "string": "string", "str": "string", "text": "string",
    "int": "integer", "integer": "integer",
    "number": "float", "float": "float", "double": "float",
    "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array",
    "dict": "object", "object": "object",
}  # fmt: skip
# Options by the names that files give them: this service's name.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "topP", "topP": "topP",
    "max_tokens": "maxOutputTokens", "max_completion_tokens": "maxOutputTokens", "max_output_tokens": "maxOutputTokens",
    "maxOutputTokens": "maxOutputTokens", "maxTokens": "maxOutputTokens",
}  # fmt: skip
# Bounds by the names that files give them: this service's name.
_BOUNDS = {
    **{name: name for name in ("minimum", "maximum", "minLength", "maxLength", "pattern", "enumValues")},
    "enum": "enumValues",
}
_INPUT_KEYS = {"name", "type", "kind", "description", "default", "example", "sample", "required", *_BOUNDS}
_TEXT_APIS = ("chat", "responses", "response", "completion", "completions", "agent")


@dataclass(slots=True)
class PublicInput:
    """`kind` None = not declared. `sample`: an example value; `default` and `sample` None = none."""

    line: int
    kind: str | None = None
    description: str = ""
    default: Any = None
    sample: Any = None
    required: bool | None = None
    bounds: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PublicFront:
    """`dropped`: keys that have no meaning here, with the reason. `outputs`: in this service's form, unchecked."""

    name: str = ""
    description: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, PublicInput] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    mustache: bool = False
    completion: bool = False
    wants_json: bool = False
    dropped: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_front(text: str, first_line: int) -> PublicFront:
    """Never raises: what is wrong is in `faults`."""
    front = PublicFront()
    if not text.strip():
        return front
    found: list[FileFormatError] = []
    keys: dict[str, Node] = {}
    try:
        keys = dict(read_yaml(text, first_line, found, dates_are_text=True).mapping("the front matter"))
    except FileFormatError as error:
        found.append(error)
    front.faults += [Fault(fault.line, fault.message, "write plain YAML, and repeat aliases") for fault in found]
    front.name, front.description = _text(keys.pop("name", None)), _text(keys.pop("description", None))
    for key, read in _READERS.items():
        if key in keys:
            read(keys.pop(key), front)
    front.dropped += [f"line {node.line}: {key}" for key, node in keys.items()]
    return front


def _text(node: Node | None) -> str:
    return str(node.content).strip() if node is not None and isinstance(node.content, str | int | float) else ""


def _read_model(node: Node, front: PublicFront) -> None:
    if not isinstance(node.content, dict):
        _drop_model(_text(node), node.line, front)
        return
    keys = dict(node.content)
    api = _text(keys.pop("api", None) or keys.pop("apiType", None)) or "chat"
    keys.pop("apiType", None)
    front.completion = api.startswith("completion")
    if api not in _TEXT_APIS:
        fault = Fault(node.line, f"model.api: {api} does not answer with text", "only prompts for text can be imported")
        front.faults.append(fault)
    for key in ("parameters", "options"):
        if key in keys and isinstance(keys[key].content, dict):
            for name, value in keys.pop(key).content.items():
                _read_option(name, value, front)
    named = keys.pop("id", None)
    if named is not None:
        _drop_model(_text(named), named.line, front)
    for key, value in keys.items():
        front.dropped.append(f"line {value.line}: model.{key} (the service's own providers are used)")


def _drop_model(name: str, line: int, front: PublicFront) -> None:
    front.dropped.append(f"line {line}: model {name} (the service's default answers; add model.id: NAME to choose one)")


def _read_option(name: str, node: Node, front: PublicFront) -> None:
    if name in _OPTIONS and isinstance(node.content, int | float) and not isinstance(node.content, bool):
        try:
            read_option(_OPTIONS[name], node)
        except FileFormatError as error:
            front.faults.append(Fault(node.line, error.message, f"correct {name}, or remove it"))
        front.options[_OPTIONS[name]] = node.content
    elif name in ("response_format", "responseFormat"):
        front.wants_json = isinstance(node.content, dict) or "json" in _text(node)
        front.dropped.append(f"line {node.line}: {name} (JSON is declared by outputs)")
    else:
        front.dropped.append(f"line {node.line}: option {name}")


def _read_inputs(node: Node, front: PublicFront) -> None:
    if isinstance(node.content, str):
        front.dropped.append(f"line {node.line}: inputs from {node.content} (values are not read from elsewhere)")
        return
    for name, declared in _named(node):
        front.inputs[name] = _read_input(name, declared, front)


def _named(node: Node) -> Iterator[tuple[str, Node]]:
    """The properties of a mapping by name, of a list with names, or of either under `properties`."""
    content = node.content
    if isinstance(content, dict) and isinstance(content.get("properties"), Node):
        inner = content["properties"].content
        if isinstance(inner, list | dict):
            content = inner
    if isinstance(content, dict):
        yield from content.items()
    for item in content if isinstance(content, list) else ():
        if isinstance(item.content, dict) and "name" in item.content:
            yield _text(item.content["name"]), item


def _read_input(name: str, node: Node, front: PublicFront) -> PublicInput:
    keys = node.content
    declares = isinstance(keys, dict) and (
        {"type", "kind", "default", "description", "sample", "required"} & keys.keys()
    )
    if not declares:  # the first version: a value instead of a declaration
        return PublicInput(node.line, sample=_known(f"inputs.{name}", node, front))
    kind_node = keys.get("kind") or keys.get("type")
    kind = _text(kind_node).lower() if kind_node else None
    if kind is not None and kind not in _KINDS:
        line = kind_node.line if kind_node else node.line
        front.faults.append(
            Fault(line, f"{name}: the kind {kind} is not supported", "remove the input, and its use in the text")
        )
    values = {key: _known(f"inputs.{name}.{key}", keys[key], front) for key in keys}
    sample = next((values[key] for key in ("example", "sample") if values.get(key) is not None), None)
    front.dropped += [f"line {keys[key].line}: inputs.{name}.{key}" for key in keys if key not in _INPUT_KEYS]
    return PublicInput(
        line=node.line,
        kind=_KINDS.get(kind or "") if kind else None,
        description=_text(keys.get("description")),
        default=values.get("default"),
        sample=sample,
        required=values["required"] if isinstance(values.get("required"), bool) else None,
        bounds={own: values[key] for key, own in _BOUNDS.items() if values.get(key) is not None},
    )


def _known(where: str, node: Node, front: PublicFront) -> Any:
    """The value; None if the file refers to a variable or another file for it."""
    if isinstance(node.content, str) and node.content.startswith("${"):
        front.dropped.append(f"line {node.line}: {where} {node.content} (values are not read from elsewhere)")
        return None
    return node.value


def _read_sample(node: Node, front: PublicFront) -> None:
    if not isinstance(node.content, dict):
        if node.content is not None:
            front.dropped.append(f"line {node.line}: sample {_text(node)} (values are not read from elsewhere)")
        return
    for name, value in node.content.items():
        if (known := _known(f"sample.{name}", value, front)) is not None:
            front.inputs.setdefault(name, PublicInput(value.line)).sample = known


def _read_outputs(node: Node, front: PublicFront) -> None:
    for name, declared in _named(node):
        keys: Mapping[str, Node] = declared.content if isinstance(declared.content, dict) else {}
        kind = _KINDS.get(_text(keys.get("kind") or keys.get("type")).lower())
        if kind in (None, "array", "object"):
            front.dropped.append(f"line {declared.line}: outputs.{name} (declare what the answer's JSON has in it)")
        else:
            described = {"description": _text(keys["description"])} if "description" in keys else {}
            front.outputs.append({"name": name, "kind": kind, **described, "required": True})


def _read_template(node: Node, front: PublicFront) -> None:
    kind = _text(node)
    if isinstance(node.content, dict):
        form = node.content.get("format") or node.content.get("type")
        if form is not None:
            inner = form.content.get("kind") if isinstance(form.content, dict) else None
            kind = _text(inner) if inner is not None else _text(form)
    front.mustache = kind == "mustache"
    if kind not in ("", "jinja2", "mustache"):
        front.faults.append(Fault(node.line, f"template: {kind} is not supported", "write the text in Jinja2"))


def _read_tools(node: Node, front: PublicFront) -> None:
    front.dropped.append(f"line {node.line}: tools (this service calls none)")


# In this order: samples belong to inputs.
_READERS: Mapping[str, Callable[[Node, PublicFront], None]] = {
    "model": _read_model,
    "inputs": _read_inputs,
    "inputSchema": _read_inputs,
    "sample": _read_sample,
    "outputs": _read_outputs,
    "outputSchema": _read_outputs,
    "template": _read_template,
    "tools": _read_tools,
}
