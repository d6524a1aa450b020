"""Finds the JSON that was asked for in an answer that has more than that."""

from collections.abc import Sequence

from llm_service.core.templates.outputs import load_strict_json

_MARKS, _JSON = ("```", "~~~"), "json"


def json_answer(messages: Sequence[str]) -> str | None:
    """The JSON object in an answer's messages: the last message that is one, or is one code fence around one.

    None: the answer stays as it is, because it is JSON already or because none of its messages is.
    """
    if len(messages) == 1 and not messages[0].lstrip().startswith(_MARKS):
        return None
    for message in reversed(messages):
        for text in (message, _inside_fence(message)):
            if text is not None and _is_object(text):
                return text
    return None


def _inside_fence(text: str) -> str | None:
    """The content of a code fence that is the whole text; its language is `json`, or not named. It may be one line."""
    fence = text.strip()
    if not fence.startswith(_MARKS):
        return None
    opened = fence.lstrip(fence[0])
    marks = fence[: len(fence) - len(opened)]
    if not opened.endswith(marks):
        return None
    content = opened.removesuffix(marks).strip()
    return content[len(_JSON) :].strip() if content[: len(_JSON)].lower() == _JSON else content


def _is_object(text: str) -> bool:
    try:
        return isinstance(load_strict_json(text), dict)
    except (ValueError, RecursionError):
        return False
