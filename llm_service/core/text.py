"""Which characters a text may contain."""

import re

from .errors import FieldError, InvalidCharacter

# PostgreSQL cannot store NUL, and a lone surrogate has no UTF-8 form: both would fail after the call was paid.
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether `text` contains neither NUL nor a lone surrogate."""
    if text.isascii():
        return "\x00" not in text  # ten times as fast as a search in a long text
    return _FORBIDDEN.search(text) is None


def refuse_forbidden(field: str, text: str) -> None:
    """Raise `InvalidCharacter` if `text` contains NUL or a lone surrogate."""
    if is_storable(text):
        return
    found = _FORBIDDEN.search(text)
    if found:
        name = "NUL" if found[0] == "\x00" else "half of a surrogate pair"
        error = FieldError(field, f"contains {name} at character {found.start() + 1}")
        raise InvalidCharacter(f"{error}. Remove it.", fields=[error])


def repair(text: str) -> str:
    """Replace characters that cannot be stored by U+FFFD. For a model's output, which must not be lost."""
    return text if is_storable(text) else _FORBIDDEN.sub("\ufffd", text)
