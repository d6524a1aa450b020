"""The regular expressions of prompt files: the part of the language that Python, JavaScript and JSON Schema share.

RE2 runs them: in time linear in the text, whatever the pattern, so that no pair of both can hold the process up. Python's
own `re` would take years for `^(a+)+$` and forty letters; its `$` also matches before a last line end, and its `\\d` and
`\\w` are more than ASCII, unlike those of the OpenAPI document that shows the same pattern.
"""

import re
from functools import cache
from typing import Any

import re2

# What RE2 takes and JavaScript does not: flags and names in groups, POSIX classes, \\A \\z \\C \\Q...\\E.
_OURS_ALONE = re.compile(r"(?<!\\)\(\?(?!:)|\[\[:|\\[AzCQE]")


class PatternError(Exception):
    """The message says what is wrong with the pattern."""


def check_pattern(pattern: str) -> None:
    """Raise `PatternError` for what not every reader of the pattern would understand alike."""
    if found := _OURS_ALONE.search(pattern):
        raise PatternError(f"{found[0]} means something else in JavaScript, or nothing")
    try:
        _compiled(pattern)
    except re2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from error


def is_found(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text; `text` holds no lone surrogate."""
    return _compiled(pattern).search(text) is not None


@cache
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)
