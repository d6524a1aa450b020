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
from . import OPENAI_URL

# It tells the timeout of one call.
_TIMEOUT_HEADER = "x-stainless-read-timeout"
_NO_KEY = "none"
# Those of every request. Others come from the SDK's variables, and may be secrets for another server.
_OWN_HEADERS = ("host", "accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent")


class ApiClient:
    """Calls one path of a server, such as `/responses`. `close` closes the connections. Safe from threads and greenlets."""

    def __init__(
        self,
        path: str,
        *,
        api_key: str | None,
        base_url: str | None,
        proxy: Proxy | None,
        resolve: Resolve,
        key_header: str = "",
        method: str = "post",
        sdk_variables: bool = True,
    ) -> None:
        """`key_header`: another header that has the key, besides `Authorization`. `sdk_variables`: as in `ApiProvider`."""
        self._request = _made_by_sdk(method, path, api_key, base_url)
        if not sdk_variables:
            _drop_headers_of_variables(self._request, api_key)
        if key_header and api_key:
            self._request.headers[key_header] = api_key
        self._transport = DeadlineTransport(self._request, proxy, resolve)

    def post(self, body: Mapping[str, Any], context: CallContext, seconds: float) -> Response:
        """Send a call, and return its response when the head has arrived; the caller closes it.

        `seconds`: how long everything may take, until the end of the body. Raises `openai.APIStatusError` for a status
        that is no success, and the transport's errors.
        """
        return self.send(msgspec.json.encode(body), context, seconds)

    def send(self, body: bytes, context: CallContext, seconds: float) -> Response:
        """As `post`, with the bytes of a body."""
        response = self._transport.send(body, seconds, context)
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


def _made_by_sdk(method: str, path: str, api_key: str | None, base_url: str | None) -> httpx2.Request:
    """The request that the SDK makes of a call, without a network."""
    made: list[httpx2.Request] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        made.append(request)
        return httpx2.Response(200, json={})

    with httpx2.Client(transport=httpx2.MockTransport(keep), trust_env=False) as http_client:
        # Self-hosted servers often need no key, but the SDK does.
        # Without an address it would look at a variable, which may be ignored here.
        sdk = openai.OpenAI(
            api_key=api_key or _NO_KEY, base_url=base_url or OPENAI_URL, max_retries=0, http_client=http_client
        )
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if method == "get":
            sdk.get(path, cast_to=httpx2.Response, options={"headers": headers})
        else:
            sdk.post(path, cast_to=httpx2.Response, body={}, options={"headers": headers})
    made[0].headers.pop(_TIMEOUT_HEADER, None)
    return made[0]


def _drop_headers_of_variables(request: httpx2.Request, api_key: str | None) -> None:
    for name in list(request.headers):
        if name.lower() not in _OWN_HEADERS and not name.lower().startswith("x-stainless-"):
            del request.headers[name]
    request.headers["Authorization"] = f"Bearer {api_key or _NO_KEY}"
