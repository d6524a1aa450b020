"""What text may hold."""

import re

from .errors import FieldError, InvalidCharacter

# NUL: PostgreSQL cannot store it. A lone surrogate has no UTF-8 form. Both would fail after the call was paid.
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def refuse_forbidden(field: str, text: str) -> None:
    """Raise `InvalidCharacter` if `text` holds NUL or a lone surrogate."""
    if _is_plain(text):
        return
    found = _FORBIDDEN.search(text)
    if found:
        name = "NUL" if found[0] == "\x00" else "half of a surrogate pair"
        message = f"holds {name} at character {found.start() + 1}"
        raise InvalidCharacter(f"{field} {message}. Remove it.", fields=[FieldError(field, message)])


def _is_plain(text: str) -> bool:
    """Whether it surely holds nothing of the kind: ten times as fast as a search in a long text."""
    return text.isascii() and "\x00" not in text


def repair(text: str) -> str:
    """Replace what no store can keep by U+FFFD; for a model's output, which must not be lost for it."""
    return _FORBIDDEN.sub("\ufffd", text)
