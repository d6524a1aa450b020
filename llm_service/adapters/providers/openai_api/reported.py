"""What an error of a server says, in whatever words the server has for it.

Servers describe the same fault with a status, with a number in a string, with a word as `code`, `type` or `status`, or
only in a sentence. Sentences are compared, but never passed on: they may contain the prompt or the key.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Longer sentences are not searched to their end.
_MAX_TEXT_CHARS = 4096
_PLAIN_WORD = re.compile(r"[a-z][a-z0-9_.]{0,59}")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]")
# The fields that have an error's code.
_CODES = ("code", "type", "status", "error_type", "status_code")
# The names of events that say nothing.
_KEEP_ALIVES = {"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat"}
_NUMBER = r"(\d[\d,]{0,11})"
# The options of a template, by the names that servers have for them.
OPTIONS = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_output_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "max_tokens": "maxOutputTokens",
}
_NAMES = "|".join(OPTIONS)
_OPTION = re.compile(rf"\b({_NAMES})\b")
# In a sentence, which may repeat words of the prompt: `'top_p'`, `temperature=0`, `temperature: ...`.
_NAMED_OPTION = re.compile(
    rf"\b({_NAMES})(?:['\"`]|\s?[=:]| (?:is|are) (?:not (?:supported|allowed|permitted)|unsupported|deprecated)| must be)"
)
# `unsupported parameter: temperature`, `does not support temperature`
_REFUSED_OPTION = re.compile(
    rf"(?:(?:parameters?|arguments?|options?|fields?)(?: supplied| name)?:?|supports?|allows?|accepts?|unsupported|invalid)"
    rf" ['\"`]?({_NAMES})\b"
)
_FORMATS = re.compile(r"(text\.format|response_format|json_schema)\b")
_LIMITS = [
    re.compile(rf"context (?:length|size|window)(?: of the model)?(?: is| of|:)?(?: only)? ?\(?{_NUMBER}"),
    re.compile(rf"{_NUMBER} (?:tokens? )?maximum"),
    re.compile(rf"maximum number of tokens allowed \({_NUMBER}"),
    re.compile(rf"limit of {_NUMBER}"),
    re.compile(rf"must be <= {_NUMBER}"),
    re.compile(rf"allowed length \({_NUMBER}"),
    re.compile(rf"context length of (?:only )?{_NUMBER}"),
    re.compile(rf"model length of {_NUMBER}"),
    re.compile(rf"must have less than {_NUMBER} tokens"),
]
_SIZES = [
    re.compile(rf"requested (?:about |a total of )?{_NUMBER} tokens"),
    re.compile(rf"resulted in {_NUMBER} tokens"),
    re.compile(rf"(?:request|count|input|prompt) \((?:length )?{_NUMBER}"),
    re.compile(rf"contains (?:at least )?{_NUMBER}"),
    re.compile(rf"too long: {_NUMBER}"),
    re.compile(rf"given: {_NUMBER}"),
    re.compile(rf"input length \({_NUMBER}"),
    re.compile(rf"(?:has|have|passed|keep the first) {_NUMBER} (?:input )?tokens"),
]


@dataclass(frozen=True, slots=True)
class Reported:
    """An error of a server.

    `status`: what HTTP calls it, also if the error came inside an answer; None = not said. `words`: the codes and types,
    as lower-case letters and digits. `text`: the sentence, in lower case. `shown`: a code that may be shown.
    """

    status: int | None
    words: frozenset[str]
    text: str
    param: str
    shown: str
    size: int | None
    limit: int | None

    def says(self, words: frozenset[str], pattern: re.Pattern[str] | None = None) -> bool:
        """Whether one of its codes is among `words`, or its sentence is one of those that `pattern` finds."""
        return not words.isdisjoint(self.words) or (pattern is not None and pattern.search(self.text) is not None)

    @property
    def option(self) -> str | None:
        """The template's option that it is about."""
        text = self.text
        found = _OPTION.search(self.param) or _NAMED_OPTION.search(text) or _REFUSED_OPTION.search(text)
        return OPTIONS[found[1]] if found else None

    @property
    def is_about_schemas(self) -> bool:
        return _FORMATS.search(self.param) is not None or (not self.param and _FORMATS.search(self.text) is not None)


def read_error(body: Any, status: int | None = None, *, event_name: str = "") -> Reported:
    """Read the body of a refused request, or the `error` of an answer. `status` None: not HTTP's, the error says it."""
    levels = list(_levels(body))
    values = [level.get(name) for level in levels for name in _CODES]
    # A code in place of the object, or of its sentence.
    bare = [body, *(level.get(name) for level in levels for name in ("error", "message"))]
    numbers = [number for value in [*values, *bare] if (number := http_status(value)) is not None]
    words = [value for value in values if isinstance(value, str)]
    words += [value for value in bare if isinstance(value, str) and _PLAIN_WORD.fullmatch(value)]
    if any(name.startswith("content_filter") and level[name] for level in levels for name in level):
        words.append("content_filter")  # Azure's results of its filter
    text = " ".join(_sentences(body, levels))[:_MAX_TEXT_CHARS].lower()
    param = next((value for level in levels if isinstance(value := level.get("param"), str)), "") or _location(levels)
    plain = [value for value in [param, *values] if isinstance(value, str) and _PLAIN_WORD.fullmatch(value)]
    return Reported(
        status=status if status is not None else next(iter(numbers), None),
        words=frozenset(_NOT_A_LETTER.sub("", word.lower()) for word in [*words, event_name] if word),
        text=text,
        param=param,
        shown=plain[0] if plain else "",
        size=_count(levels, "n_prompt_tokens") or _found(_SIZES, text),
        limit=_count(levels, "n_ctx") or _found(_LIMITS, text),
    )


def names_an_error(kind: Any) -> bool:
    """Whether the type or the name of an event is that of an error."""
    return isinstance(kind, str) and kind.lower().endswith("error")


def says_something(error: Any) -> bool:
    """Whether an `error` is one: some servers send an object whose fields are empty beside each answer."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def value_of(data: bytes, name: str) -> Any:
    """The JSON of an event's data, or its text if its name says that it is an error: servers tell these in plain words, too.

    Python's parser is more lenient than msgspec's: half a surrogate pair, NaN. Raises `ValueError`.
    """
    try:
        return json.loads(data)
    except ValueError:
        if not names_an_error(name):
            raise
        return data.decode("utf-8", "replace")


def keeps_alive(data: bytes, name: str) -> bool:
    """Whether an event only keeps the connection open: its data is blank, or has any form and its name says so.

    An error is told even by an event whose name is all that it has.
    """
    return name.lower() in _KEEP_ALIVES or (not data.strip() and not names_an_error(name))


def words_of(*words: str) -> frozenset[str]:
    """Codes as `Reported.words` has them."""
    return frozenset(_NOT_A_LETTER.sub("", word.lower()) for word in words)


def _levels(body: Any, depth: int = 4) -> Iterator[Mapping[str, Any]]:
    """The objects of an error, the innermost `error` first: the outer ones only wrap it."""
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict) or not depth:
        return
    for name in ("error", "innererror", "inner_error", "metadata", "detail"):
        yield from _levels(body.get(name), depth - 1)
    yield body


def _sentences(body: Any, levels: list[Mapping[str, Any]]) -> Iterator[str]:
    if isinstance(body, str) and not body.lstrip().startswith("<"):  # what a web page says is no error of an API
        yield body
    for level in levels:
        for name in ("message", "error", "detail", "raw", "msg"):
            value = level.get(name)
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from (
                    entry["msg"] for entry in value[:5] if isinstance(entry, dict) and isinstance(entry.get("msg"), str)
                )


def _location(levels: list[Mapping[str, Any]]) -> str:
    """The field that a validator names: `{"detail": [{"loc": ["body", "temperature"]}]}`."""
    for level in levels:
        details = level.get("detail")
        for entry in details if isinstance(details, list) else []:
            path = entry.get("loc") if isinstance(entry, dict) else None
            if isinstance(path, list):
                return ".".join(str(step) for step in path if step != "body")[:60]
    return ""


def http_status(value: Any) -> int | None:
    """The status that a code is, as a number or as digits."""
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) < 6:
        value = int(value)
    good = isinstance(value, int | float) and not isinstance(value, bool) and 400 <= value < 600
    return int(value) if good else None


def _count(levels: list[Mapping[str, Any]], name: str) -> int | None:
    return next((value for level in levels if isinstance(value := level.get(name), int) and 0 < value < 10**9), None)


def _found(patterns: list[re.Pattern[str]], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(text))), None)
    return int(found[1].replace(",", "")) if found else None
