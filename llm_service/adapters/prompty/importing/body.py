"""The messages of a public prompt file: its sections, what they use, and the same text in this service's words."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from llm_service.core.templates.rendering import Section, section_faults

from .faults import Fault
from .variables import Use, note_uses

# As the format's own parsers read it: any case, a heading's mark before it, attributes after it.
_ROLE_LINE = re.compile(r"\s*#?\s*(system|user|assistant|developer|function|tool)\s*(\[.*\])?\s*:\s*", re.IGNORECASE)
_SYSTEM = ("system", "developer")
_MUSTACHE = re.compile(r"\{\{(\{)?\s*([!#^/>&=]?)\s*(.*?)\s*\}?\}\}", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")


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
        note_uses(section.text, section.first_line, Section(section.text).variables, found)
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
