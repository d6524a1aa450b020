"""Code in an answer, with a class on each kind of word for the style sheet. The code is untrusted.

Pygments works with regular expressions that some texts make slow. What bounds it: known languages, short lines (within
one of these, no expression takes a millisecond), and CPU time for all code of an answer; what is left then stays plain.
"""

import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from markdown_it.common.utils import escapeHtml

MAX_CODE_CHARS = 20_000
MAX_LINE_CHARS = 500
MAX_CPU_S = 0.15
# By Pygments' names: how the language is called on the page.
LANGUAGES = {
    "bash": "Bash", "c": "C", "cpp": "C++", "csharp": "C#", "css": "CSS", "diff": "Diff", "docker": "Dockerfile", "go": "Go",
    "graphql": "GraphQL", "html": "HTML", "ini": "INI", "java": "Java", "javascript": "JavaScript", "json": "JSON",
    "kotlin": "Kotlin", "lua": "Lua", "makefile": "Makefile", "nginx": "nginx", "php": "PHP", "powershell": "PowerShell",
    "python": "Python", "ruby": "Ruby", "rust": "Rust", "scala": "Scala", "sql": "SQL", "swift": "Swift", "toml": "TOML",
    "typescript": "TypeScript", "xml": "XML", "yaml": "YAML",
}  # fmt: skip
ALIASES = {
    "c++": "cpp", "c#": "csharp", "cs": "csharp", "console": "bash", "dockerfile": "docker", "golang": "go", "js": "javascript",
    "jsx": "javascript", "kt": "kotlin", "make": "makefile", "postgresql": "sql", "ps1": "powershell", "py": "python",
    "python3": "python", "rb": "ruby", "rs": "rust", "sh": "bash", "shell": "bash", "sqlite": "sql", "ts": "typescript",
    "tsx": "typescript", "yml": "yaml", "zsh": "bash",
}  # fmt: skip
# Ours by Pygments' short names. A kind without one looks like its nearest ancestor that has one, or like the text around.
CLASSES = {
    "c": "c", "cp": "k", "ch": "c", "k": "k", "kt": "t", "ow": "k", "nb": "b", "nc": "t", "nf": "f", "nd": "f", "nt": "k", "na": "b",
    "ne": "t", "s": "s", "m": "n", "kc": "n", "gi": "s", "gd": "d", "gh": "k", "gu": "k",
}  # fmt: skip


# How a statement of SQL begins and goes on, and lines that end as those of most languages do.
_SQL = re.compile(
    r"\s*(?:select\s.*\sfrom|with\s+\w+\s+as|insert\s+into|update\s.*\sset|delete\s+from|(?:create|alter|drop)\s+\w+)\s",
    re.I | re.S,
)
_CODE_LINES = re.compile(r"(?:[{};]|\):|=>)[ \t]*$|^[ \t]+return\b|^(?:import|from|#include|#!) ?\S", re.M)
MIN_CODE_LINES = 2


class Highlighter:
    """For the code blocks of one answer, which share the time."""

    def __init__(self) -> None:
        self._until_s = time.thread_time() + MAX_CPU_S

    def to_html(self, code: str, language: str | None) -> str:
        """Escaped; without classes if the language is unknown, or if it would take too long."""
        if (
            language is None
            or len(code) > MAX_CODE_CHARS
            or any(len(line) > MAX_LINE_CHARS for line in code.split("\n"))
        ):
            return escapeHtml(code)
        groups = groupby(self._words(code, language), key=itemgetter(0))
        texts = ((name, escapeHtml("".join(text for _, text in words))) for name, words in groups)
        return "".join(f'<span class="{name}">{text}</span>' if name else text for name, text in texts)

    def _words(self, code: str, language: str) -> Iterator[tuple[str, str]]:
        """Each with its class, and each character once: Pygments' other methods drop blank lines at both ends."""
        end = 0
        for start, kind, text in _lexer(language).get_tokens_unprocessed(code):
            if time.thread_time() > self._until_s:
                break
            end = start + len(text)
            yield _class_of(kind), text
        yield "", code[end:]


def is_code(text: str) -> bool:
    """Whether a value of a JSON answer looks like code, so that its columns should align."""
    start = text[:MAX_LINE_CHARS]
    # A sentence begins with one capital letter.
    is_sql = not start.strip()[:6].istitle() and _SQL.match(start) is not None
    return is_sql or len(_CODE_LINES.findall(start)) >= MIN_CODE_LINES


def language_of(info: str) -> str | None:
    """The known language that the head of a code block begins with."""
    name = info.split(maxsplit=1)[0].lower() if info.strip() else ""
    name = ALIASES.get(name, name)
    return name if name in LANGUAGES else None


@cache
def _lexer(language: str) -> Any:
    # Imported here: only answers with code pay for it.
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language)


@cache
def _class_of(kind: Any) -> str:
    from pygments.token import STANDARD_TYPES

    names = (STANDARD_TYPES.get(ancestor, "") for ancestor in reversed(kind.split()))
    return next((CLASSES[name] for name in names if name in CLASSES), "")
