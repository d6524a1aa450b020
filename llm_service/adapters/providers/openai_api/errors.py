"""Maps every failure of a provider call to one of the core's errors.

The provider's own messages are never passed on: they may contain the key or the prompt. Only our message is, with at
most a status, a code or a parameter name that looks like one.
"""

import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2
import openai

from llm_service.core import errors

from ..sse import EventTooLarge
from ..tunnel import ProxyFailed, ProxyTimeout
from .loading import says_loading

_CODE = re.compile(r"[a-z][a-z0-9_.]{0,59}")
_CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA")
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG_CODES = {"context_length_exceeded", "string_above_max_length"}
# A gateway timed out: the provider behind it may have answered, and may bill that.
_MAYBE_ANSWERED = {408, 502, 504, 524}
# No request was sent.
_NEVER_SENT = (
    socket.gaierror,
    ConnectionRefusedError,
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.ProxyError,
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
)
# Nobody can wait for a date far ahead; openai-python has a similar limit.
MAX_RETRY_AFTER_S = 24 * 3600


def from_exception(error: Exception) -> errors.ServiceError:
    """The core's error for an exception of the SDK, the transport or a parser."""
    if isinstance(error, errors.ServiceError):
        return error
    if isinstance(error, openai.APIStatusError) and error.status_code == 407:
        # Without TLS, the proxy answers the request itself. Its other statuses look like the provider's.
        return _from_proxy(ProxyFailed.refused(407))
    if isinstance(error, openai.APIStatusError):
        refused = from_status(error.status_code, error.response.headers, error.body)
        refused.may_be_billed = error.status_code in _MAYBE_ANSWERED
        return refused
    mapped = _from_chain(list(_chain(error)))
    mapped.may_be_billed = mapped.may_be_billed and not any(isinstance(cause, _NEVER_SENT) for cause in _chain(error))
    return mapped


def _from_chain(chain: list[BaseException]) -> errors.ServiceError:
    if any(isinstance(cause, EventTooLarge) for cause in chain):
        return errors.OutputTooLarge("The model provider sent an event larger than 1 MiB.")
    if failed := next((cause for cause in chain if isinstance(cause, ProxyFailed)), None):
        return _from_proxy(failed)
    if _is_tls_setup(chain):
        return errors.UpstreamTls("The model provider's TLS certificate or handshake is not valid.")
    if any(isinstance(cause, httpx2.TimeoutException | httpcore2.TimeoutException | TimeoutError) for cause in chain):
        return errors.UpstreamTimeout("The model provider did not answer in time.")
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        unresolved = errors.UpstreamUnreachable("The model provider's name cannot be resolved (dns).")
        unresolved.max_attempts = 2
        return unresolved
    if any(
        isinstance(cause, httpcore2.NetworkError | httpcore2.ProtocolError | httpx2.RequestError | OSError)
        for cause in chain
    ):
        return errors.UpstreamUnreachable("The model provider cannot be reached.")
    # Invalid JSON or wrong types: the SDK raises plain ValueError and TypeError for these.
    return errors.UpstreamInvalidResponse("The model provider sent an answer that cannot be read.")


def _is_tls_setup(chain: Sequence[BaseException]) -> bool:
    """Whether TLS failed before the request was accepted: in the handshake, or since a client certificate is wanted.

    Later, a fault of TLS is a lost connection.
    """
    faults = [cause for cause in chain if isinstance(cause, ssl.SSLError) and not isinstance(cause, TimeoutError)]
    connecting = any(isinstance(cause, httpcore2.ConnectError | httpx2.ConnectError) for cause in chain)
    # With TLS 1.3, a server refuses a client's certificate after the handshake.
    return bool(faults) and (connecting or any(_CERTIFICATE.search(fault.reason or "") for fault in faults))


def _from_proxy(failed: ProxyFailed) -> errors.ServiceError:
    if isinstance(failed, ProxyTimeout):
        return errors.UpstreamTimeout(str(failed))
    # A status of the 5xx may be the provider's trouble, and may pass.
    lasts = failed.status is not None and failed.status < 500
    return errors.UpstreamProxy(str(failed)) if lasts else errors.UpstreamUnreachable(str(failed))


def from_status(status: int, headers: Mapping[str, str], body: Any) -> errors.ServiceError:
    """The core's error for an HTTP status of the provider."""
    code, param = _code(body, "code"), _code(body, "param")
    retry_after_s = parse_retry_after(headers, time.time())
    if 300 <= status < 400:
        return errors.UpstreamRedirect("The model provider sent a redirect, which is not followed.")
    if status in (401, 403):
        return errors.UpstreamAuth("The model provider rejected the service's API key.")
    if status == 402 or (status == 429 and code in _QUOTA_CODES):
        return errors.UpstreamQuota("The service's account at the model provider is out of credit.")
    if status == 404:
        return errors.UpstreamModelUnknown("The model provider does not know the model or the address.")
    if status == 429:
        return errors.UpstreamRateLimited("The model provider is limiting this service.", retry_after_s=retry_after_s)
    if status == 408:
        return errors.UpstreamTimeout("The model provider did not answer in time.")
    if status == 503 and (unavailable := _unavailable(body, retry_after_s)):
        return unavailable
    if status >= 500:
        return errors.UpstreamError(f"The model provider failed (status {status}).", retry_after_s=retry_after_s)
    if code in _TOO_LONG_CODES:
        return errors.UpstreamRejected("The text is too long for the model.")
    about = f" ({param or code})" if param or code else ""
    return errors.UpstreamRejected(f"The model provider rejected the request{about}.")


def _unavailable(body: Any, retry_after_s: float | None) -> errors.UpstreamUnavailable | None:
    """The error for a 503 that says why or for how long; None for another one, which is a failure."""
    if says_loading(body):
        return errors.UpstreamLoading("The model provider is loading the model.", retry_after_s=retry_after_s)
    if retry_after_s is None:
        return None
    return errors.UpstreamUnavailable("The model provider is not available for a while.", retry_after_s=retry_after_s)


def from_error_object(error: Any) -> errors.ServiceError:
    """The core's error for the `error` of a failed response, or of an error event."""
    code = _code(error, "code")
    if code in _QUOTA_CODES:
        return errors.UpstreamQuota("The service's account at the model provider is out of credit.")
    if code == "rate_limit_exceeded":
        return errors.UpstreamRateLimited("The model provider is limiting this service.")
    if code in _TOO_LONG_CODES:
        return errors.UpstreamRejected("The text is too long for the model.")
    return errors.UpstreamError("The model provider failed" + (f" ({code})." if code else "."))


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After` (seconds or a date); None if they are missing or unusable."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = _retry_after_seconds(headers.get("retry-after", ""), now)
    except (ValueError, OverflowError, TypeError):
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= MAX_RETRY_AFTER_S else None


def _retry_after_seconds(value: str, now: float) -> float:
    try:
        return float(value)
    except ValueError:
        return parsedate_to_datetime(value).timestamp() - now


def _code(body: Any, name: str) -> str | None:
    """A field of `error` such as `code`, if it is a plain word; other text might contain a secret."""
    if isinstance(body, dict):
        inner = body.get("error")
        value = inner.get(name) if isinstance(inner, dict) else body.get(name)
        if isinstance(value, str) and _CODE.fullmatch(value):
            return value
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
