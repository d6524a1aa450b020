"""Runs the tests of a prompt file. No model is called."""

from collections.abc import Iterator

from ..errors import InputError, InvalidOutput, ServiceError
from ..messages import Messages, Role, text_of
from .inputs import MAIN_INPUT
from .model import Expected, Template, TemplateTest

MAX_QUOTED_CHARS = 200


def failures(template: Template, test: TemplateTest) -> list[str]:
    """How the template differs from what the test expects; empty = the test passes."""
    return [*_rendering_failures(template, test), *_output_failures(template, test)]


def _rendering_failures(template: Template, test: TemplateTest) -> Iterator[str]:
    if not (test.inputs or test.system or test.user or test.refused):
        return  # it only checks recorded answers
    parameters = {name: value for name, value in test.inputs.items() if name != MAIN_INPUT}
    try:
        messages = template.render(test.inputs.get(MAIN_INPUT, ""), parameters)
    except InputError as error:
        yield from _compare_refusal(test, error)
    else:
        yield from _compare_messages(test, messages)


def _compare_refusal(test: TemplateTest, error: InputError) -> Iterator[str]:
    refused = sorted({field_error.field for field_error in error.fields})
    if not test.refused:
        yield f"the inputs are refused: {_listed(error) or error.detail}"
    elif refused != sorted(set(test.refused)):
        yield f"refused values are {', '.join(refused)}, expected {', '.join(test.refused)}"


def _compare_messages(test: TemplateTest, messages: Messages) -> Iterator[str]:
    if test.refused:
        yield f"the inputs are accepted, expected these to be refused: {', '.join(test.refused)}"
        return
    for role, expected in ((Role.SYSTEM, test.system), (Role.USER, test.user)):
        if expected is not None:
            yield from _compare_text(role, expected, text_of(messages, role))


def _compare_text(role: str, expected: Expected, text: str) -> Iterator[str]:
    # Newlines around a message do not matter, and YAML block texts end with one.
    if expected.text is not None and text.strip() != expected.text.strip():
        yield f"the {role} message is {_quoted(text)}, expected {_quoted(expected.text)}"
    for part in expected.contains:
        if part not in text:
            yield f"the {role} message does not contain {_quoted(part)}: it is {_quoted(text)}"


def _output_failures(template: Template, test: TemplateTest) -> Iterator[str]:
    if test.output is not None and (error := _output_error(template, test.output)):
        yield f"the recorded output is refused: {error}"
    if test.bad_output is not None and not _output_error(template, test.bad_output):
        yield "the recorded bad_output is accepted"


def _output_error(template: Template, text: str) -> str | None:
    assert template.outputs is not None, "the loader refuses recorded outputs where none are declared"
    try:
        template.outputs.parse(text)
    except InvalidOutput as error:
        return _listed(error)
    return None


def _listed(error: ServiceError) -> str:
    return "; ".join(map(str, error.fields))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED_CHARS else text[:MAX_QUOTED_CHARS] + "...")
