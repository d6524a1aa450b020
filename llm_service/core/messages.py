"""The messages that a template renders and a provider receives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompts:
    """The rendered messages; `system` is empty where the template has no system section."""

    system: str
    user: str
