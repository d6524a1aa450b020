"""Recognizes a server that is loading the model.

llama.cpp answers 503 with `Loading model`, others with `Model ... is currently loading`. The status alone does not say
it: a server that has too much to do sends 503 too.
"""

import re
from typing import Any

_LOADING = re.compile(r"\bloading\b|\bbeing loaded\b|\bnot (yet )?loaded\b|\b(starting|warming) up\b", re.IGNORECASE)
# Where servers put the words of an error.
_NAMES = ("error", "message", "detail")
_MAX_CHARS = 1000


def says_loading(body: Any) -> bool:
    """Whether the body of a 503 says that the model is being loaded."""
    if isinstance(body, dict):
        return any(says_loading(body.get(name)) for name in _NAMES)
    return isinstance(body, str) and _LOADING.search(body[:_MAX_CHARS]) is not None
