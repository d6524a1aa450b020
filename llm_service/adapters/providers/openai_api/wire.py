"""What a wire format must do: write a call, and read its answer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from llm_service.core.generation.model import ProviderCall, ProviderEvent

from .quirks import Quirks

if TYPE_CHECKING:
    from ..transport import Response


class AnswerReader(Protocol):
    """Reads one answer. `started`: whether text has arrived."""

    @property
    def started(self) -> bool: ...

    def read(self, response: "Response") -> Iterator[ProviderEvent]:
        """As `Provider.stream`. It sets the silence that the response may have after the first text."""
        ...


class Wire(Protocol):
    """A wire format, without state.

    `kind`: its name in the providers file. `path`: below the server's address. `key_header`: another header that has the
    API key, besides `Authorization`; empty = none.
    """

    kind: str
    path: str
    key_header: str

    def body(self, call: ProviderCall, quirks: Quirks, *, own_address: bool) -> dict[str, Any]:
        """The body of the request. `own_address`: it goes to OpenAI's own address."""
        ...

    def reader(self, call: ProviderCall, quirks: Quirks, *, idle_timeout_s: float) -> AnswerReader:
        """`idle_timeout_s`: how long the server may be silent after the first text."""
        ...
