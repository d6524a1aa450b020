"""A server that is called as OpenAI's, through the `openai` SDK, in one of the wire formats.

The SDK provides the address, the key and the headers. An answer is complete only after a terminal event.
One deadline covers the whole call, nothing is retried or redirected, and the provider is asked to store nothing. Our
own parser reads the events, with a sixth of the CPU time of the SDK's typed ones. Importing `openai` takes half a
second, so it is imported after the server listens (`warm`).
"""

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from llm_service.core.errors import (
    DeadlineExceeded,
    UpstreamAuth,
    UpstreamMisconfigured,
    UpstreamProxy,
    UpstreamQuota,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llm_service.core.generation.call_context import CallContext
from llm_service.core.generation.model import Billed, ProviderCall, ProviderEvent

from ..names import Resolve, system_addresses
from ..proxies import Proxy
from . import is_openai
from .quirks import NO_QUIRKS, Quirks
from .wire import Wire

if TYPE_CHECKING:
    from ..transport import Response
    from .client import ApiClient

# Errors that persist until an operator acts; the readiness check shows them.
_LASTING = (UpstreamAuth, UpstreamProxy, UpstreamQuota, UpstreamTls, UpstreamRedirect)


class ApiProvider:
    """One client per process, created on the first call or by `warm`. `base_url` None = OpenAI's own address.

    `idle_timeout_s`: the longest silence after the first text. `first_output_timeout_s`: how long a call may take to the
    first text; None = until its deadline. `quirks`: those of every model; `model_quirks`: those of single models, by the
    name that the server knows. `sdk_variables`: whether what the SDK reads from variables is sent, too
    (`OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`, `OPENAI_CUSTOM_HEADERS`).
    """

    def __init__(
        self,
        wire: Wire,
        *,
        name: str = "openai",
        api_key: str | None,
        base_url: str | None,
        idle_timeout_s: float,
        first_output_timeout_s: float | None = None,
        proxy: Proxy | None = None,
        resolve: Resolve = system_addresses,
        quirks: Quirks = NO_QUIRKS,
        model_quirks: Mapping[str, Quirks] | None = None,
        sdk_variables: bool = True,
    ) -> None:
        self.name = name
        self._wire = wire
        self._api_key = api_key
        self._base_url = base_url
        self._own_address = is_openai(base_url)
        self._proxy = proxy
        self._resolve = resolve
        self._idle_timeout_s = idle_timeout_s
        self._first_output_timeout_s = first_output_timeout_s
        self._quirks = quirks
        self._model_quirks = dict(model_quirks or {})
        self._client: ApiClient | None = None
        self._sdk_variables = sdk_variables
        self._closed = False
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._identity = self._own_identity()

    @property
    def identity(self) -> str:
        return self._identity

    def _own_identity(self) -> str:
        """With what an operator says of the server, because the answers depend on it."""
        of_models = [f"{model}={quirks}" for model, quirks in sorted(self._model_quirks.items())]
        said = [*([] if self._quirks == NO_QUIRKS else [str(self._quirks)]), *of_models]
        return " ".join([f"{self.name}:{self._wire.kind}:{self._base_url or ''}", *said])

    def stream(self, call: ProviderCall, context: CallContext) -> Generator[ProviderEvent, None, None]:
        from .errors import from_exception

        quirks = self._model_quirks.get(call.model, self._quirks)
        reader, began = self._wire.reader(call, quirks, idle_timeout_s=self._idle_timeout_s), False
        try:
            with closing(self._post(call, quirks, context)) as response:
                began = True
                events = reader.read(response)
                for first in islice(events, 1):
                    context.waits_until_deadline(response.limit)
                    if not isinstance(first, Billed):  # which comes before an error
                        self._trouble = None
                    yield first
                yield from events
        except Exception as error:
            mapped = from_exception(error, kind=self._wire.kind)
            if isinstance(mapped, UpstreamTimeout) and reader.started and time.monotonic() >= context.deadline:
                mapped = DeadlineExceeded("The answer took longer than a generation may take.")
            elif began and isinstance(mapped, UpstreamUnreachable):
                mapped = UpstreamTruncated(
                    "The connection to the model provider was lost before the answer was complete."
                )
            # A model that a caller chose may be unknown; an address must not be.
            lasts = isinstance(mapped, _LASTING) or type(mapped) is UpstreamMisconfigured
            self._trouble = mapped.detail if lasts else self._trouble
            if mapped is error:
                raise
            raise mapped from error

    @property
    def warmed(self) -> bool:
        return self._client is not None

    def warm(self) -> None:
        self._ready_client()

    def health_error(self) -> str | None:
        return self._trouble

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _ready_client(self) -> "ApiClient":
        from .client import ApiClient

        with self._lock:
            if self._client is None:
                self._client = ApiClient(
                    self._wire.path,
                    api_key=self._api_key,
                    base_url=self._base_url,
                    proxy=self._proxy,
                    resolve=self._resolve,
                    key_header=self._wire.key_header,
                    sdk_variables=self._sdk_variables,
                )
                if self._closed:  # a call that began before it was closed: nothing is kept open after it
                    self._client.close()
            return self._client

    def _post(self, call: ProviderCall, quirks: Quirks, context: CallContext) -> "Response":
        body = self._wire.body(call, quirks, own_address=self._own_address)
        seconds = context.deadline - time.monotonic()
        if self._first_output_timeout_s is not None:
            seconds = min(seconds, self._first_output_timeout_s)
        return self._ready_client().post(body, context, max(seconds, 0.001))
