"""The items of an answer: which of them are messages, and which messages are the answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..openai_api.thinking import ThinkFilter

MESSAGE, REASONING = "message", "reasoning"
BETWEEN_MESSAGES = "\n\n"
_FINAL_PHASES = ("final_answer", "final")
_TEXT_PARTS = (None, "output_text", "text")


class Message(NamedTuple):
    """A message as the server tells it at its end. `phase`: what the message is for; None = not said."""

    text: str
    phase: str | None = None
    refused: bool = False


def type_of(item: Any) -> str:
    """Only items of type `message` are output. An item without a type is one."""
    kind = item.get("type") if isinstance(item, dict) else ""
    return MESSAGE if kind is None else str(kind)


def phase_of(item: Any) -> str | None:
    phase = item.get("phase") if isinstance(item, dict) else None
    return phase if isinstance(phase, str) and phase else None


def is_shown(kind: str, phase: str | None) -> bool:
    """Whether the text of such an item is sent as it arrives. A message without a phase may be the answer."""
    return kind == MESSAGE and (phase is None or phase in _FINAL_PHASES)


def messages_in(output: Any, *, strip_think: bool) -> list[Message]:
    """The messages among the items of a response."""
    items = output if isinstance(output, list) else []
    return [message_of(item, strip_think=strip_think) for item in items if type_of(item) == MESSAGE]


def messages_told(response: Mapping[str, Any], *, strip_think: bool) -> list[Message]:
    """The messages of a response. Some servers send the text only as `output_text`, as OpenAI's SDKs call it."""
    told = messages_in(response.get("output"), strip_think=strip_think)
    if any(message.text for message in told) or not response.get("output_text"):
        return told
    return [message_of({"content": response["output_text"]}, strip_think=strip_think)]


def message_of(item: Any, *, strip_think: bool) -> Message:
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts, refused = list[str](), False
    for part in parts:
        text, is_refusal = text_of(part)
        texts.append(text)
        refused |= is_refusal
    whole = "".join(texts)
    return Message(without_thoughts(whole) if strip_think else whole, phase_of(item), refused)


def text_of(part: Any) -> tuple[str, bool]:
    """The text of a part of a message, and whether it is a refusal. Parts of other types are no output."""
    if not isinstance(part, dict):
        return "", False
    refusal = part.get("refusal")
    if isinstance(refusal, str) and refusal:
        return refusal, True
    text = part.get("text")
    return (text, False) if isinstance(text, str) and part.get("type") in _TEXT_PARTS else ("", False)


def without_thoughts(text: str) -> str:
    think = ThinkFilter()
    return think.feed(text) + think.end()


def answer_among(messages: Sequence[Message]) -> list[Message]:
    """The messages that are the answer: the final ones, if their phases tell, or else those without a phase."""
    final = [message for message in messages if message.phase in _FINAL_PHASES]
    return [message for message in final or messages if message.text and is_shown(MESSAGE, message.phase)]


def joined(messages: Iterable[Message]) -> str:
    return BETWEEN_MESSAGES.join(message.text for message in messages)


def is_cut(item: Any) -> bool:
    """Whether the item itself says that it is not complete."""
    return isinstance(item, dict) and item.get("status") == "incomplete"
