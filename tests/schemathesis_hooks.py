"""What the fuzzer cannot know from the document: an Idempotency-Key is valid only with its first body."""

import random
import re
import uuid
from typing import Any

import schemathesis

from llm_service.web.api.generate import KEY_PATTERN

NAME = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A valid key is replaced by an unused one; an invalid key stays."""
    # Each case has its own client address, so that invalid keys of one case do not count against another.
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"127.{random.randrange(256)}.{random.randrange(256)}.7"}
    given = (case.headers or {}).get(NAME)
    if isinstance(given, str) and re.fullmatch(KEY_PATTERN.strip("^$"), given):
        case.headers[NAME] = str(uuid.uuid4())
