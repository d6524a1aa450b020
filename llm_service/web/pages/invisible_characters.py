"""Characters that people do not see and a model reads. The pages show how many a text has."""

import re
import unicodedata

# Tags (they can spell an instruction), zero-width characters, direction marks, variation selectors.
# The joiners of emoji and of several scripts are not here: they are part of ordinary words.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\u206a-\u206f\u3164"
    "\ufeff\uffa0\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"})


def invisible_characters(text: str) -> int:
    """How many there are. Tags inside a flag emoji do not count: people see the flag."""
    return 0 if text.isascii() else len(_HIDDEN.findall(_FLAG.sub("", text)))


def titled(text: str, instead: str) -> str:
    """A text as a title, with direction marks spelled out because they could reorder the text around it.

    `instead` if the text has no visible character.
    """
    if all(unicodedata.category(char) in _INVISIBLE_CATEGORIES or _HIDDEN.match(char) for char in text):
        return instead
    return _DIRECTION.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", text)
