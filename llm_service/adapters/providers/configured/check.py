"""Asks a provider for its models, and compares them with what the file says. Calls no model, so it costs nothing."""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_service.core.clock import Clock
from llm_service.core.errors import ServiceError
from llm_service.core.generation.call_context import CallContext

from ..names import Resolve
from ..wires import WIRES
from .config import ProviderConfig

TIMEOUT_S = 15.0
# Names that are shown of a long list.
SHOWN = 8


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """`fits`: nothing that was found is wrong. `summary` and `details` tell a person what was found."""

    name: str
    kind: str
    fits: bool
    summary: str
    details: tuple[str, ...] = ()


def check_provider(config: ProviderConfig, clock: Clock, resolve: Resolve) -> ProviderCheck:
    connection = config.connection
    if connection.kind == "echo":
        return _checked(config, "calls no model")
    from ..openai_api.model_list import list_models  # the SDK's import takes half a second

    try:
        listed = list_models(
            api_key=connection.api_key,
            base_url=connection.base_url,
            proxy=connection.proxy,
            resolve=resolve,
            key_header=WIRES[connection.kind]().key_header,
            sdk_variables=connection.sdk_variables,
            kind=connection.kind,
            context=CallContext(time.monotonic() + TIMEOUT_S, clock),
        )
    except ServiceError as error:
        return _checked(config, error.code, error.detail, fits=False)
    if connection.kind == "azure":
        return _checked(config, "answers; deployments are not listed, so the models were not checked")
    if listed is None:
        return _checked(config, "answers, but does not list its models", *_hint(connection.base_url))
    return _compared(config, listed)


def _compared(config: ProviderConfig, listed: tuple[str, ...]) -> ProviderCheck:
    there = {_plain(name) for name in listed}
    missing = [model for model in config.models if _plain(model.sent_as) not in there]
    found = f"{len(config.models) - len(missing)} of {len(config.models)} models found"
    if not missing:
        return _checked(config, found)
    names = ", ".join(model.sent_as for model in missing)
    others = ", ".join([*sorted(listed)[:SHOWN], *([f"{len(listed) - SHOWN} more"] if len(listed) > SHOWN else [])])
    return _checked(config, found, f"not listed: {names}", f"it lists: {others or 'none'}", fits=False)


def _checked(config: ProviderConfig, summary: str, *details: str, fits: bool = True) -> ProviderCheck:
    shown = tuple("".join(char if char.isprintable() else "?" for char in detail) for detail in details)
    return ProviderCheck(config.name, config.connection.kind, fits, summary, shown)


def _plain(name: str) -> str:
    """Ollama takes a name for its `:latest`, and Gemini's list says `models/` before each."""
    return name.removeprefix("models/").removesuffix(":latest")


def _hint(base_url: str | None) -> list[str]:
    if base_url is None or urlsplit(base_url).path.rstrip("/").endswith("/v1"):
        return []
    return ["its address does not end in /v1, as most do: does it lead to the API?"]
