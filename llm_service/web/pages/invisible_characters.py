"""Characters that are in a text and that nobody sees: people are told, because a model reads them."""

import re
import unicodedata

# Tags (an instruction can be written with them), zero-width signs, marks of direction, more variations of a letter.
# The joiners of emoji and of several scripts are left out: they are part of ordinary words.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\u206a-\u206f\u3164"
    "\ufeff\uffa0\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"})


def invisible_characters(text: str) -> int:
    """How many there are; those of a flag are not hidden, the flag is there."""
    return 0 if text.isascii() else len(_HIDDEN.findall(_FLAG.sub("", text)))


def titled(text: str, instead: str) -> str:
    """A text as a title: marks of direction, which could turn what stands beside it, are written out.

    `instead` where nothing of the text would be seen.
    """
    if all(unicodedata.category(one) in _INVISIBLE_CATEGORIES or _HIDDEN.match(one) for one in text):
        return instead
    return _DIRECTION.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", text)
