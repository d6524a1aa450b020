"""A model with its fallbacks, as one text: `a>b>c` is asked for as `a`; if `a` fails, `b` answers, and then `c`.

It is a text so that other programs that read the prompt files take it for a model's name.
"""

from functools import lru_cache

NEXT = ">"
# Each one that fails takes its time from the one deadline.
MAX_MODELS = 8


@lru_cache(maxsize=1024)
def chain_of(text: str) -> tuple[str, ...]:
    """The models, in the order in which they are asked."""
    return tuple(name.strip() for name in text.split(NEXT))


def fault_in(text: str) -> str | None:
    """What is wrong with the text of a chain; None = nothing."""
    names = chain_of(text)
    if "" in names:
        return f"has no name before or after a {NEXT}"
    if len(set(names)) < len(names):
        return "names a model twice"
    if len(names) > MAX_MODELS:
        return f"names more than {MAX_MODELS} models"
    return None
