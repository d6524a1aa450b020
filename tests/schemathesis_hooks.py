"""What the fuzzer cannot know from the document: an Idempotency-Key is right only with the body that it came with first."""

import random
import re
import uuid
from typing import Any

import schemathesis

from llm_service.web.api.generate import KEY_PATTERN

NAME = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A right key becomes one that was not used before; a wrong one stays."""
    # Each case comes from an address of its own, as a proxy would say: one's wrong keys are not counted against another.
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"127.{random.randrange(256)}.{random.randrange(256)}.7"}
    given = (case.headers or {}).get(NAME)
    if isinstance(given, str) and re.fullmatch(KEY_PATTERN.strip("^$"), given):
        case.headers[NAME] = str(uuid.uuid4())
