"""The messages that a template renders and a provider receives."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """`parts` are in order; text is the only kind so far."""

    role: Role
    parts: tuple[TextPart, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> "Message":
        return cls(role, (TextPart(text),))

    @property
    def text(self) -> str:
        return self.parts[0].text if len(self.parts) == 1 else "".join(part.text for part in self.parts)


Messages = tuple[Message, ...]
# `json.dumps` makes an encoder for each call.
_encoded = json.JSONEncoder(ensure_ascii=False).encode


class HasMessages:
    """Gives the two prompts that the API and the pages show."""

    __slots__ = ()
    messages: Messages

    @property
    def system_prompt(self) -> str:
        """Empty if there is no system message."""
        return text_of(self.messages, Role.SYSTEM)

    @property
    def user_prompt(self) -> str:
        return text_of(self.messages, Role.USER)


def text_of(messages: Messages, role: Role) -> str:
    """All text of one role; empty if it has no message."""
    return "\n\n".join([message.text for message in messages if message.role is role])


def to_plain(messages: Messages) -> list[dict[str, Any]]:
    """As JSON values: `[{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]`."""
    return [
        {"role": str(message.role), "parts": [{"type": "text", "text": part.text} for part in message.parts]}
        for message in messages
    ]


def from_plain(values: Sequence[dict[str, Any]]) -> Messages:
    """The inverse of `to_plain`."""
    return tuple(
        Message(Role(value["role"]), tuple(TextPart(part["text"]) for part in value["parts"])) for value in values
    )


def dump_messages(messages: Messages) -> str:
    return _encoded(to_plain(messages))


def load_messages(text: str) -> Messages:
    return from_plain(json.loads(text))
