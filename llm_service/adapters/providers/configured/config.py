"""What the providers file says, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_service.core.usage.pricing import Price

from ..circuit_breaker import DEFAULT_RULES, BreakerRules
from ..openai_api.quirks import NO_QUIRKS, Quirks
from ..proxies import Proxy

KINDS = ("responses", "chat", "azure", "echo")


@dataclass(frozen=True, slots=True)
class Connection:
    """What a provider object is made of. While a provider's is equal after a reload, its object stays.

    `api_key` and a proxy's password are in no text of it. `model_quirks`: of the models that have others than `quirks`, by
    the name that the server knows. `sdk_variables`: as in `ApiProvider`.
    """

    name: str
    kind: str
    slots: int
    idle_timeout_s: float
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    first_output_timeout_s: float | None = None
    proxy: Proxy | None = None
    breaker: BreakerRules = DEFAULT_RULES
    quirks: Quirks = NO_QUIRKS
    model_quirks: Mapping[str, Quirks] = field(default_factory=dict)
    sdk_variables: bool = True

    def secrets(self) -> list[str]:
        """Values that no log may show."""
        return [*([self.api_key] if self.api_key else []), *(self.proxy.secrets() if self.proxy else [])]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`sent_as`: its name at the provider. `price` None = not in the file. `line`: where the file names it."""

    name: str
    sent_as: str
    line: int
    context_tokens: int | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """`free`: its models cost nothing, and `public_prices`: public prices apply, where the file has no price of a model."""

    connection: Connection
    models: tuple[ModelConfig, ...]
    free: bool = False
    public_prices: bool = False

    @property
    def name(self) -> str:
        return self.connection.name
