"""What text may hold."""

import re

from .errors import FieldError, InvalidCharacter

# NUL: PostgreSQL cannot store it. A lone surrogate has no UTF-8 form. Both would fail after the call was paid.
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def refuse_forbidden(field: str, text: str) -> None:
    """Raise `InvalidCharacter` if `text` holds NUL or a lone surrogate."""
    found = _FORBIDDEN.search(text)
    if found:
        name = "NUL" if found[0] == "\x00" else "half of a surrogate pair"
        message = f"holds {name} at character {found.start() + 1}"
        raise InvalidCharacter(f"{field} {message}. Remove it.", fields=[FieldError(field, message)])


def repair(text: str) -> str:
    """Replace what no store can keep by U+FFFD; for a model's output, which must not be lost for it."""
    return _FORBIDDEN.sub("\ufffd", text)
