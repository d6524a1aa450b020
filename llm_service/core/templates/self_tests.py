"""Running the tests that a template carries. No model is called."""

from collections.abc import Iterator

from ..errors import InputError, InvalidOutput
from ..messages import Messages, Role, text_of
from .inputs import MAIN_INPUT
from .model import Expected, Template, TemplateTest

SHOWN_CHARS = 200


def failures(template: Template, test: TemplateTest) -> list[str]:
    """What is not as the test expects; empty = it passes."""
    return [*_rendering_failures(template, test), *_output_failures(template, test)]


def _rendering_failures(template: Template, test: TemplateTest) -> Iterator[str]:
    if not (test.inputs or test.system or test.user or test.refused):
        return  # it is about recorded answers alone
    parameters = {name: value for name, value in test.inputs.items() if name != MAIN_INPUT}
    try:
        messages = template.render(test.inputs.get(MAIN_INPUT, ""), parameters)
    except InputError as error:
        yield from _compare_refusal(test, error)
    else:
        yield from _compare_messages(test, messages)


def _compare_refusal(test: TemplateTest, error: InputError) -> Iterator[str]:
    refused = sorted({one.field for one in error.fields})
    if not test.refused:
        told = "; ".join(f"{one.field} {one.message}" for one in error.fields)
        yield f"the inputs are refused: {told or error.detail}"
    elif refused != sorted(set(test.refused)):
        yield f"refused are {', '.join(refused)}, expected were {', '.join(test.refused)}"


def _compare_messages(test: TemplateTest, messages: Messages) -> Iterator[str]:
    if test.refused:
        yield f"the inputs are accepted, expected was that these are refused: {', '.join(test.refused)}"
        return
    for role, expected in ((Role.SYSTEM, test.system), (Role.USER, test.user)):
        if expected is not None:
            yield from _compare_text(role, expected, text_of(messages, role))


def _compare_text(role: str, expected: Expected, text: str) -> Iterator[str]:
    # Newlines around a message mean nothing, and YAML's block texts end with one.
    if expected.text is not None and text.strip() != expected.text.strip():
        yield f"the {role} message is {_shown(text)}, expected was {_shown(expected.text)}"
    for part in expected.contains:
        if part not in text:
            yield f"the {role} message does not hold {_shown(part)}: it is {_shown(text)}"


def _output_failures(template: Template, test: TemplateTest) -> Iterator[str]:
    if test.output is not None and (fault := _fault_of(template, test.output)):
        yield f"the recorded output is refused: {fault}"
    if test.bad_output is not None and not _fault_of(template, test.bad_output):
        yield "the recorded bad_output is accepted"


def _fault_of(template: Template, text: str) -> str | None:
    assert template.outputs is not None, "the loader refuses recorded outputs where none are declared"
    try:
        template.outputs.parse(text)
    except InvalidOutput as error:
        return "; ".join(f"{one.field} {one.message}" for one in error.fields)
    return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "...")
