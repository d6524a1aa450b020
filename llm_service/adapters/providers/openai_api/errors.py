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

from ..sse import MAX_EVENT_BYTES, EventTooLarge
from ..tunnel import ProxyFailed, ProxyTimeout
from .foreign import RESPONSES_KIND, no_such_api
from .reported import Reported, read_error, words_of

_CERTIFICATE = re.compile("CERTIFICATE|UNKNOWN_CA")
_QUOTA = words_of("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits")
# Not with 429, where a quota may be one of requests a minute.
_QUOTA_TEXT = re.compile(
    r"exceeded your current quota|credit balance is too low|insufficient (?:credits|balance|funds)"
)
_TOO_LONG = words_of(
    "context_length_exceeded", "string_above_max_length", "exceed_context_size_error", "context_window_exceeded_error",
    "context_window_exceeded", "model_context_window_exceeded", "request_too_large", "input_too_long",
)  # fmt: skip
_TOO_LONG_TEXT = re.compile(
    r"context (?:length|size|window|overflow|limit)|too many (?:input |prompt )?tokens(?! per)|maximum number of tokens"
    r"|context.{0,20} (?:exceeded|reached|(?:is|was) (?:full|too (?:long|large|small)))|context shift is disabled"
    r"|(?:exceed(?:s|ed)?|(?:long|larg|bigg)er than|too (?:long|large|big) for|maximum|max)(?: [a-z']+){0,3} context\b"
    r"|(?:prompt|input|request|sequence)\b.{0,30} (?:(?:long|larg)er than|exceeds?|exceeded)(?: [a-z']+){0,3} (?:max|maximum|model)[ _]"
    r"|(?:prompt|input)s? (?:is |are |was )?too long|max_model_len|n_ctx|max_position_embeddings"
    r"|must have less than [\d,]{1,12} tokens|max_(?:completion_|output_)?tokens must be at least 1, got -"
    r"|input (?:length|tokens?)(?: \([\d,]{1,12} tokens?\))? exceeds?|input token count .{0,40}exceeds|inputs` tokens|reduce the length of"
    r"|(?:number of )?tokens to keep from the initial prompt|contextwindowexceeded|exceeds the model.{0,20} context"
)
_FILTERED = words_of(
    "content_filter", "content_filtered", "content_policy_violation", "content_policy_violation_error",
    "responsible_ai_policy_violation", "invalid_prompt", "moderation_blocked", "safety", "safety_violation",
    "content_moderation", "flagged_input", "safety_violations", "data_inspection_failed",
)  # fmt: skip
_FILTERED_TEXT = re.compile(
    r"content management policy|content[ _]filter|contentpolicyviolation|input was flagged|prompt was flagged|violating our usage policy"
)
_RATE = words_of(
    "rate_limit_exceeded", "rate_limit_error", "rate_limit", "rate_limited", "too_many_requests", "resource_exhausted",
    "throttling_error", "throttling_exception", "requests", "tokens",
)  # fmt: skip
# Where no status tells it.
_RATE_TEXT = re.compile(r"\brate[ _-]?limit(?:ed| (?:was |is )?(?:exceeded|reached))|too many requests")
_AUTH = words_of(
    "invalid_api_key", "authentication_error", "invalid_authentication", "incorrect_api_key", "unauthorized",
    "unauthenticated", "permission_denied", "permission_error", "permission_denied_error", "access_denied",
    "account_deactivated", "forbidden",
)  # fmt: skip
_TIMEOUT = words_of("timeout", "timeout_error", "request_timeout", "deadline_exceeded")
# Servers that have too much to do say 503 too.
_LOADING = words_of("model_loading", "loading_model", "model_not_ready")
_LOADING_TEXT = re.compile(
    r"\bloading\b|\bbeing loaded\b|\bnot (?:yet )?(?:been )?(?:loaded|ready|initiali[sz]ed)\b|\binitiali[sz]ing\b"
    r"|\b(?:starting|warming) up\b"
)
_INVALID = words_of(
    "invalid_request_error", "invalid_request", "bad_request", "bad_request_error", "invalid_argument",
    "unsupported_parameter", "unsupported_value", "invalid_value", "validation_error", "unprocessable_entity_error",
)  # fmt: skip
_NO_MODEL = words_of(
    "model_not_found",
    "deployment_not_found",
    "model_not_available",
    "unknown_model",
    "invalid_model",
    "model_decommissioned",
    "model_not_supported",
)
_NO_MODEL_TEXT = re.compile(
    r"not a valid model|invalid model name|no endpoints found|(?:model|deployment)\b.{0,200}(?:not found|not exist)"
)
_MODEL_TEXT = re.compile(r"\bmodel\b|\bdeployment\b")
# The codes of a server that has nothing at this address.
_NO_ADDRESS = words_of("not_found_error", "not_found", "404", "invalid_request_error")
_NO_ADDRESS_TEXT = re.compile(
    r"unexpected endpoint|invalid url|unknown (?:endpoint|url|path|route|request url)|cannot post|method not allowed"
    r"|responses api is (?:only )?enabled|operation does not work with the specified model"
)
# Statuses with which servers say these; None: an error inside of an answer that has no number.
_MAY_BE_TOO_LONG = {None, 400, 413, 422, 500}
_MAY_BE_ADDRESS = {None, 400, 403, 404, 405, 422, 501}
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


def from_exception(error: Exception, *, kind: str = RESPONSES_KIND) -> errors.ServiceError:
    """The core's error for an exception of the SDK, the transport or a parser. `kind`: that of the wire."""
    if isinstance(error, errors.ServiceError):
        return error
    if isinstance(error, openai.APIStatusError) and error.status_code == 407:
        # Without TLS, the proxy answers the request itself. Its other statuses look like the provider's.
        return _from_proxy(ProxyFailed.refused(407))
    if isinstance(error, openai.APIStatusError):
        refused = from_status(error.status_code, error.response.headers, error.body, kind=kind)
        refused.may_be_billed = error.status_code in _MAYBE_ANSWERED
        return refused
    mapped = _from_chain(list(_chain(error)))
    mapped.may_be_billed = mapped.may_be_billed and not any(isinstance(cause, _NEVER_SENT) for cause in _chain(error))
    return mapped


def _from_chain(chain: list[BaseException]) -> errors.ServiceError:
    if any(isinstance(cause, EventTooLarge) for cause in chain):
        return errors.OutputTooLarge(f"The model provider sent an event larger than {MAX_EVENT_BYTES >> 20} MiB.")
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


def from_status(
    status: int, headers: Mapping[str, str], body: Any, *, kind: str = RESPONSES_KIND
) -> errors.ServiceError:
    """The core's error for an HTTP status of the provider. `body`: JSON, or text. `kind`: that of the wire."""
    if 300 <= status < 400:
        return errors.UpstreamRedirect("The model provider sent a redirect, which is not followed.")
    return _mapped(read_error(body, status), kind, parse_retry_after(headers, time.time()))


def from_error_object(error: Any, event_name: str | None = None, *, kind: str = RESPONSES_KIND) -> errors.ServiceError:
    """The core's error for an error inside an answer: mapped as the same HTTP status would be.

    `error`: the `error` of a response or of an event, or the whole event. `event_name`: the event's name, if only that
    says what it is.
    """
    reported = read_error(error, event_name=event_name or "")
    mapped = _mapped(reported, kind, None)
    if reported.status is not None:
        mapped.may_be_billed = reported.status in _MAYBE_ANSWERED
    return mapped


def _mapped(reported: Reported, kind: str, retry_after_s: float | None) -> errors.ServiceError:
    status = reported.status
    if status in _MAY_BE_TOO_LONG and (status == 413 or reported.says(_TOO_LONG, _TOO_LONG_TEXT)):
        return too_long(reported.size, reported.limit)
    if reported.says(_FILTERED, _FILTERED_TEXT if status is None or status < 500 else None):
        return errors.ContentFiltered("The model provider's content filter blocked the text.")
    if status == 402 or reported.says(_QUOTA, _QUOTA_TEXT if status != 429 else None):
        return errors.UpstreamQuota("The service's account at the model provider is out of credit.")
    if status == 429 or (status is None and reported.says(_RATE, _RATE_TEXT)):
        return errors.UpstreamRateLimited("The model provider is limiting this service.", retry_after_s=retry_after_s)
    if status in _MAY_BE_ADDRESS and (found := _not_found(reported, kind)):
        return found
    if status in (401, 403) or reported.says(_AUTH):
        return errors.UpstreamAuth("The model provider rejected the service's API key.")
    if status == 408 or (status is None and reported.says(_TIMEOUT)):
        return errors.UpstreamTimeout("The model provider did not answer in time.")
    if status == 503 and (unavailable := _unavailable(reported, retry_after_s)):
        return unavailable
    if (status is not None and status < 500) or (status is None and (reported.says(_INVALID) or reported.option)):
        return _rejected(reported)
    about = f"status {status}" if status is not None else reported.shown
    return errors.UpstreamError(
        "The model provider failed" + (f" ({about})." if about else "."), retry_after_s=retry_after_s
    )


def _unavailable(reported: Reported, retry_after_s: float | None) -> errors.UpstreamUnavailable | None:
    """The error for a 503 that says why or for how long; None for another one, which is a failure."""
    if reported.says(_LOADING, _LOADING_TEXT):
        return errors.UpstreamLoading("The model provider is loading the model.", retry_after_s=retry_after_s)
    if retry_after_s is None:
        return None
    return errors.UpstreamUnavailable("The model provider is not available for a while.", retry_after_s=retry_after_s)


def too_long(size: int | None = None, limit: int | None = None) -> errors.TooLongForModel:
    """`size`: of the text, in tokens. `limit`: what the model can read. None = the provider does not say."""
    numbers = [f"the request has {size:,} tokens"] if size else []
    numbers += [f"the model can read {limit:,}"] if limit else []
    return errors.TooLongForModel(
        "The text is too long for the model" + (f": {', '.join(numbers)}." if numbers else ".")
    )


def _not_found(reported: Reported, kind: str) -> errors.UpstreamMisconfigured | None:
    """The error for a model or an address that the server does not have; None if it says something else."""
    status, about_model = reported.status, reported.param == "model"
    if reported.says(_NO_MODEL, _NO_MODEL_TEXT) or (about_model and status in (400, 404, 422)):
        return errors.UpstreamModelUnknown("The model provider does not know the model.")
    if status in (405, 501) or reported.says(frozenset(), _NO_ADDRESS_TEXT):
        return no_such_api(kind)
    if status != 404:
        return None
    if _MODEL_TEXT.search(reported.text) or reported.words - _NO_ADDRESS:
        return errors.UpstreamModelUnknown("The model provider does not know the model or the address.")
    return no_such_api(kind)


def _rejected(reported: Reported) -> errors.UpstreamRejected:
    if option := reported.option:
        return errors.UpstreamRejected(
            f"The model does not accept the template's option {option}, or its value. Operators: remove {option} from "
            "model.options of the template, or choose another model."
        )
    if reported.is_about_schemas:
        return errors.UpstreamRejected(
            "The model does not accept a JSON schema, which the template's outputs need. Operators: choose another model."
        )
    about = f" ({reported.shown})" if reported.shown else ""
    return errors.UpstreamRejected(f"The model provider rejected the request{about}.")


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


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
