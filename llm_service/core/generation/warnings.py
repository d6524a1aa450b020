"""Warnings: an answer came, but a person should know something about it.

An answer with a warning is not cached: the next request asks again.
"""

import re

from ..messages import Messages
from .model import AnswerWarning, Done

INPUT_TRUNCATED = "input-truncated"
# English and code have about four characters to a token. Other scripts have fewer, so the estimate is low for them.
CHARS_PER_TOKEN = 4
# Below it, what a server adds or leaves out matters more than the text.
MIN_TOKENS = 1000
# A server that counted less did not read all of the text.
READ_SHARE = 0.6
# Tokenizers make one token of many blanks, dashes or dots.
_RUN = re.compile(r"(\W)\1{3,}")


def warnings_of(messages: Messages, done: Done) -> tuple[AnswerWarning, ...]:
    """The warnings about the answer to these messages."""
    reported = done.usage.input_tokens
    if reported is None:
        return ()
    chars = 0
    for message in messages:
        for part in message.parts:
            chars += len(part.text)
    if not _counts_too_few(reported, chars):  # as nearly always
        return ()
    if (done.usage.cached_input_tokens or 0) > reported:
        return ()  # a server that counts what was cached apart
    text = "\n".join(part.text for message in messages for part in message.parts)
    chars = len(_RUN.sub(r"\1", text))
    return (_input_truncated(reported, chars // CHARS_PER_TOKEN),) if _counts_too_few(reported, chars) else ()


def _counts_too_few(reported: int, chars: int) -> bool:
    return chars >= MIN_TOKENS * CHARS_PER_TOKEN and reported * CHARS_PER_TOKEN < READ_SHARE * chars


def _input_truncated(reported: int, estimate: int) -> AnswerWarning:
    return AnswerWarning(
        INPUT_TRUNCATED,
        f"The model provider counted {reported:,} input tokens, but the text has about {estimate:,}: it seems to have cut the "
        "text, so the answer may miss parts of it. Operators: give the model a larger context on its server.",
    )
