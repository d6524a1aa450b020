"""The schema of an answer as words, for servers that ignore JSON schemas."""

import json

from llm_service.core.generation.model import ProviderCall

from .strict_schema import strict_schema

_WORDS = "Answer with one JSON object that matches this JSON Schema, without a code fence and without any other text:"


def system_text(call: ProviderCall, *, schema_in_prompt: bool) -> str:
    """The system prompt as it is sent; empty if there is none."""
    if not schema_in_prompt or call.output is None:
        return call.system_prompt
    schema = json.dumps(strict_schema(call.output.schema), ensure_ascii=False)
    return f"{call.system_prompt}\n\n{_WORDS}\n{schema}".lstrip()
