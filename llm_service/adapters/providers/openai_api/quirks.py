"""How a server differs from what its wire format promises."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Quirks:
    """What an operator says of a server or of one of its models.

    `strip_think`: drop a leading `<think>...</think>` from an answer's text. `schema_in_prompt`: the server ignores JSON
    schemas, so the schema is written into the prompt too. `max_completion_tokens`: in chat completions, the bound of an
    answer has the name that OpenAI's reasoning models want; another address than OpenAI's gets the older `max_tokens`.
    """

    strip_think: bool = False
    schema_in_prompt: bool = False
    max_completion_tokens: bool = False

    def __str__(self) -> str:
        return "+".join(quirk.name for quirk in fields(self) if getattr(self, quirk.name))


NO_QUIRKS = Quirks()
