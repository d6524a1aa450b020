"""What a tag is: a short text without commas, which separate tags where people type them."""

from collections.abc import Iterable

from ..errors import FieldError, InvalidInput
from ..text import refuse_forbidden

MAX_TAGS = 20
MAX_TAG_CHARS = 40
# Of all tags of a generation as people type them: twice what they can have.
MAX_TEXT_CHARS = 2 * MAX_TAGS * (MAX_TAG_CHARS + 2)


def read_tags(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    """The tags, each once, in the order given. White space at the ends is ignored, and so is more than one space.

    Raises `InvalidInput` or `InvalidCharacter`, naming `field`.
    """
    tags = tuple(dict.fromkeys(_read(field, text) for text in texts))
    if len(tags) > MAX_TAGS:
        raise InvalidInput.of([FieldError(field, f"must have at most {MAX_TAGS} tags")])
    return tags


def split_tags(text: str) -> list[str]:
    """The texts between the commas that are not empty. Raises `InvalidInput`, naming `tags`, for a text that is too long."""
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput.of([FieldError("tags", f"must be at most {MAX_TEXT_CHARS:,} characters")])
    return [part for part in text.split(",") if part.strip()]


def _read(field: str, text: str) -> str:
    refuse_forbidden(field, text)
    tag = " ".join(text.split())
    if not tag or "," in tag:
        raise InvalidInput.of([FieldError(field, "must be tags: not empty, and without commas")])
    if len(tag) > MAX_TAG_CHARS:
        raise InvalidInput.of([FieldError(field, f"must be tags of at most {MAX_TAG_CHARS} characters")])
    return tag
