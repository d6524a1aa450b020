"""The regular expressions of prompt files: the part of the language that Python, JavaScript and JSON Schema share.

RE2 runs them, in time linear in the text whatever the pattern, so no pattern can block the process. Python's own `re`
would take years for `^(a+)+$` and forty letters. Its `$` also matches before a final newline, and its `\\d` and `\\w`
match more than ASCII, unlike those of the OpenAPI document that shows the same pattern.
"""

import re
from functools import lru_cache
from typing import Any

import re2

# What RE2 supports and JavaScript does not: flags and names in groups, POSIX classes, \\A \\z \\C \\Q...\\E.
_RE2_ONLY = re.compile(r"(?<!\\)\(\?(?!:)|\[\[:|\\[AzCQE]")


class PatternError(Exception):
    """The message says what is wrong with the pattern."""


def check_pattern(pattern: str) -> None:
    """Raise `PatternError` for patterns that not every reader understands in the same way."""
    if found := _RE2_ONLY.search(pattern):
        raise PatternError(f"{found[0]} does not work in JavaScript")
    try:
        _compiled(pattern)
    except re2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from error


def pattern_matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches anywhere in the text, which must not contain a lone surrogate."""
    return _compiled(pattern).search(text) is not None


@lru_cache(maxsize=1000)  # edited files leave their old patterns behind
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)
