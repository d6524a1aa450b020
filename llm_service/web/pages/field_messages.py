"""What is wrong with the fields of a form, in the words of the form.

The core says it in the words of the API, which names types, patterns and paths. Nobody who fills in a form knows these.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_service.core.errors import FieldError
from llm_service.core.templates.inputs import MAIN_INPUT, path_of
from llm_service.core.templates.properties import Property, PropertyKind

from ..http.errors import RequestError
from ..http.strict_json import parse_json
from .numbers import bound

JSON_FIELD = "parameters_json"
_PARAMETERS = "parameters."
_WORDS = {
    "must be an integer": "must be a whole number",
    "must be a string": "must be text",
    "must be a list": 'must be a JSON list such as ["a", "b"]',
    "must be an object": 'must be a JSON object such as {"key": "value"}',
}


def field_messages(
    faults: Iterable[FieldError], inputs: Sequence[Property], typed: Mapping[str, Any]
) -> dict[str, str]:
    """Messages by the path of the field that shows them: a list or an object shows the errors inside it."""
    declared = {path_of(prop): prop for prop in inputs}
    found: dict[str, list[str]] = {}
    for fault in faults:
        path, inside = _split(fault.field)
        if path.startswith(_PARAMETERS) and path not in declared:
            found.setdefault(JSON_FIELD, []).append(_unknown(path.removeprefix(_PARAMETERS), fault.message))
        else:
            prop = declared.get(path)
            found.setdefault(path, []).append(_at(inside, _message(prop, inside, fault.message, typed)))
    joined = {path: "; ".join(messages) for path, messages in found.items()}
    return {path: text[:1].upper() + text[1:] for path, text in joined.items()}


def json_fault(text: str) -> str | None:
    """Why a text is not JSON, and where."""
    try:
        parse_json(text.encode("utf-8", "surrogatepass"))
    except RequestError as error:
        return error.detail.replace("The body", "this").rstrip(".")
    return None


def _split(field: str) -> tuple[str, list[str]]:
    parts = field.split(".")
    return (".".join(parts[:2]), parts[2:]) if parts[0] == "parameters" else (field, [])


def _unknown(name: str, message: str) -> str:
    return f'"{name}" has a field of its own' if name == MAIN_INPUT else f'"{name}" {message}'


def _at(inside: list[str], message: str) -> str:
    place = " ".join(f"item {int(part) + 1}" if part.isdecimal() else part.replace("_", " ") for part in inside)
    return f"{place}: {message}" if place else message


def _message(prop: Property | None, inside: list[str], message: str, typed: Mapping[str, Any]) -> str:
    if prop is None:
        return message
    text = typed.get(prop.name)
    if not inside and message in ("must be a list", "must be an object") and isinstance(text, str):
        return json_fault(text) or _WORDS[message]
    return _plain(_inner(prop, inside), message)


def _inner(prop: Property | None, inside: list[str]) -> Property | None:
    for part in inside:
        if prop is None:
            return None
        prop = prop.items if part.isdecimal() else _named(prop.properties or (), part)
    return prop


def _named(properties: Sequence[Property], name: str) -> Property | None:
    return next((prop for prop in properties if prop.name == name), None)


def _plain(prop: Property | None, message: str) -> str:
    if prop is None:
        return message
    if message.startswith("must match the pattern"):
        return f"must look like {prop.example}" if prop.example else f"has the wrong format ({prop.pattern})"
    return _between(prop, message) or _WORDS.get(message, message)


def _between(prop: Property, message: str) -> str | None:
    """Both bounds, if there are two: who passes one by should not meet the other next."""
    counted = f" {message[message.index('(has') :]}" if "(has" in message else ""
    if message.startswith("must have at ") and prop.min_items and prop.max_items is not None:
        return f"must have between {prop.min_items:,} and {prop.max_items:,} items{counted}"
    if not message.startswith("must be at "):
        return None
    if counted and prop.min_length and prop.max_length is not None:
        return f"must have between {prop.min_length:,} and {prop.max_length:,} characters{counted}"
    is_number = prop.kind in (PropertyKind.INTEGER, PropertyKind.FLOAT)
    if is_number and prop.minimum is not None and prop.maximum is not None:
        return f"must be between {bound(prop.minimum)} and {bound(prop.maximum)}"
    return None
