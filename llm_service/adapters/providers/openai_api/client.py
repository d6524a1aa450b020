"""A call as the `openai` SDK makes it, over our own transport.

The SDK makes one request when the client is created: its address, its key and its headers. Each call sends these with a
body of its own. Through the SDK, a call took five times the CPU time of sending it.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpcore2
import httpx2
import msgspec
import openai

from llm_service.core.generation.call_context import CallContext

from ..names import Resolve
from ..proxies import Proxy
from ..transport import DeadlineTransport, Response

# It tells the timeout of one call.
_TIMEOUT_HEADER = "x-stainless-read-timeout"


class ApiClient:
    """Posts to one path of a server, such as `/responses`. `close` closes the connections. Safe from threads and greenlets."""

    def __init__(
        self, path: str, *, api_key: str | None, base_url: str | None, proxy: Proxy | None, resolve: Resolve
    ) -> None:
        self._request = _made_by_sdk(path, api_key, base_url)
        self._transport = DeadlineTransport(self._request, proxy, resolve)

    def post(self, body: Mapping[str, Any], context: CallContext, seconds: float) -> Response:
        """Send a call, and return its response when the head has arrived; the caller closes it.

        `seconds`: how long everything may take, until the end of the body. Raises `openai.APIStatusError` for a status
        that is no success, and the transport's errors.
        """
        response = self._transport.send(msgspec.json.encode(body), seconds, context)
        if 200 <= response.status < 300:
            return response
        refused = response.for_httpx()
        refused.request = self._request
        try:
            raise openai.APIStatusError("refused", response=refused, body=_error_body(refused))
        finally:
            response.close()

    def close(self) -> None:
        self._transport.close()


def _error_body(response: httpx2.Response) -> Any:
    """The body as JSON, or else as text; None if it does not arrive: the status says enough."""
    with suppress(httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, httpx2.DecodingError):
        response.read()
        try:
            return response.json()
        except ValueError:
            return response.text
    return None


def _made_by_sdk(path: str, api_key: str | None, base_url: str | None) -> httpx2.Request:
    """The request that the SDK makes of a call, without a network."""
    made: list[httpx2.Request] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        made.append(request)
        return httpx2.Response(200, json={})

    with httpx2.Client(transport=httpx2.MockTransport(keep), trust_env=False) as http_client:
        # Self-hosted servers often need no key, but the SDK does.
        sdk = openai.OpenAI(api_key=api_key or "none", base_url=base_url, max_retries=0, http_client=http_client)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        sdk.post(path, cast_to=httpx2.Response, body={}, options={"headers": headers})
    made[0].headers.pop(_TIMEOUT_HEADER, None)
    return made[0]
