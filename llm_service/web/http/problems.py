"""Every error that a caller can get: its status, what it means, and what to do.

This table is the source of the problem documents, the pages under `/problems/`, the OpenAPI document and
`docs/errors.md`; tests keep them in agreement.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TRY_LATER = "Try again later."


@dataclass(frozen=True, slots=True)
class Problem:
    """`meaning`: what happened. `remedy`: what to do next."""

    status: int
    title: str
    meaning: str
    remedy: str

    def remedy_after(self, wait_s: int | None) -> str:
        """The remedy with the time to wait, if that is known: `Try again in 42 s.`"""
        return self.remedy if wait_s is None else self.remedy.replace(TRY_LATER, f"Try again in {duration(wait_s)}.")


def duration(seconds: int) -> str:
    """`42 s`, `5 min`, `8 h`, rounded up."""
    for unit_s, unit in ((1, "s"), (60, "min")):
        if seconds <= 120 * unit_s:
            return f"{-(-seconds // unit_s)} {unit}"
    return f"{-(-seconds // 3600)} h"


PROBLEMS: Mapping[str, Problem] = {
    # -- the caller's request
    "bad-request": Problem(
        400, "Bad request",
        "The request is not valid HTTP, its first line or its headers are too large, or its form is incomplete. The status says more: 400, 403, 414, 417, 431 or 501.",
        "Check the program that sent the request, and the proxies between. The first line may have 4,094 bytes, and each of at most 100 headers 8,190.",
    ),
    "invalid-json": Problem(
        400, "Invalid JSON",
        "The request body is not one valid JSON value in UTF-8 (RFC 8259).",
        "Check the body with a JSON validator. NaN, Infinity, comments, a byte order mark and integers of more than 4,300 digits are not JSON.",
    ),
    "duplicate-key": Problem(
        400, "Duplicate key in JSON",
        "An object in the request body contains the same key more than once.",
        "Send each key once.",
    ),
    "too-deep": Problem(
        400, "JSON nested too deeply",
        "Arrays and objects in the request body are nested more than 32 levels deep.",
        "Send a flatter structure.",
    ),
    "invalid-idempotency-key": Problem(
        400, "Invalid Idempotency-Key",
        "The Idempotency-Key header is empty, too long, or contains a character that is not allowed.",
        "Use 1 to 255 letters, digits or . _ ~ : + / = @ -, for example a UUID.",
    ),
    "untrusted-host": Problem(
        400, "Unknown host name",
        "The Host header is missing or names a host that this service does not serve. The check protects against DNS rebinding.",
        "Use a host name that the service accepts. Operators: add the name to APP_TRUSTED_HOSTS.",
    ),
    "not-authenticated": Problem(
        401, "Sign-in required",
        "The request has no API key, or its key is mistyped, unknown, revoked or expired. Without a key, the service accepts only clients on its own machine, if any.",
        "Send a key as Authorization: Bearer llms_..., or sign in at /login. Operators: create keys with flask keys create. Behind a proxy, set APP_PROXY_HOPS to the number of proxies.",
    ),
    "not-allowed": Problem(
        403, "Permission denied",
        "The API key is valid, but lacks the scope that this request needs.",
        "Use a key with that scope, or ask an operator for one. Operators: flask keys create NAME --scope generate,history,usage,admin.",
    ),
    "budget-exhausted": Problem(
        402, "Daily budget reached",
        "The most that a call can cost is reserved before it starts. Your daily budget, or that of the whole service, does not have that much left.",
        f"{TRY_LATER} You can also ask for a shorter answer, or ask the operator for a higher budget. Cached answers are still available. Usage (/usage) and GET /api/v1/limits show what is left.",
    ),
    "csrf": Problem(
        403, "Request not verified",
        "The browser sent this request from another site, did not say where it came from, or did not send its session's token.",
        "Reload the page and submit the form again. Programs: send a key as Authorization: Bearer.",
    ),
    "not-found": Problem(
        404, "Page not found",
        "The page or the generation does not exist, was deleted, or belongs to someone else.",
        "Check the address. /history lists your generations, and /docs all API endpoints.",
    ),
    "unknown-template": Problem(
        422, "Template not found",
        "The service has no template with this id. The status is 404 if the id is part of the path, and 422 if it is in the body.",
        "GET /api/v1/templates lists the ids. A name without _v and a number means its highest version.",
    ),
    "method-not-allowed": Problem(
        405, "Method not allowed",
        "This URL exists, but does not support the HTTP method.",
        "Use one of the methods in the Allow header.",
    ),
    "not-acceptable": Problem(
        406, "Not acceptable",
        "The Accept header excludes the media type of the response.",
        "Send Accept: application/json, or omit the header.",
    ),
    "idempotency-conflict": Problem(
        409, "Request already in progress",
        "The first request with this Idempotency-Key has begun, but its generation cannot be joined yet.",
        f"{TRY_LATER} Use the same key to get the answer of the first request.",
    ),
    "cancelled": Problem(
        409, "Generation stopped",
        "The generation was stopped, or its caller disconnected. The partial answer is in the history.",
        "Send the request again if you still need the answer.",
    ),
    "too-large": Problem(
        413, "Request too large",
        "The request body is larger than 1 MiB, has more than 10,000 values or 1,000 form fields, or a header is longer than 16 KiB.",
        "Send less.",
    ),
    "unsupported-media-type": Problem(
        415, "Unsupported media type",
        "The Content-Type is not application/json in UTF-8, or the body is compressed.",
        "Send Content-Type: application/json and no Content-Encoding.",
    ),
    "invalid-input": Problem(
        422, "Invalid input",
        "A field is missing, unknown, of the wrong type, or outside its limits.",
        "Correct the listed fields. In a problem document, errors names each field and what is allowed.",
    ),
    "invalid-character": Problem(
        422, "Invalid character",
        "The text contains NUL or a lone surrogate, which cannot be stored.",
        "Remove the character from the listed field.",
    ),
    "unknown-model": Problem(
        422, "Model not available",
        "The model is not on the service's list or the key's list, the model provider does not know it, or it has no known price and a budget in US dollars applies.",
        "Omit model to use the default, or choose a listed model. Operators: check APP_MODELS and APP_PRICES_FILE.",
    ),
    "idempotency-mismatch": Problem(
        422, "Idempotency-Key already used",
        "This Idempotency-Key was already used with a different request body.",
        "Use a new key for each new request, and the same key only to repeat a request.",
    ),
    "upstream-rejected": Problem(
        422, "Request rejected by the model provider",
        "The model provider did not accept the request; for example, the model does not support an option of the template.",
        "Choose another model. Operators: check the template's model.options.",
    ),
    "too-long-for-model": Problem(
        422, "Text too long for the model",
        "The text, together with the template and the room for the answer, is longer than the model can read.",
        "Shorten the input, or choose a model with a larger context. Operators: a server of your own may have been started with a small one.",
    ),
    "content-filtered": Problem(
        422, "Blocked by the content filter",
        "The content filter of the model provider blocked the text or the answer.",
        "Rephrase the input. Operators: the filter is configured at the provider.",
    ),
    "rate-limited": Problem(
        429, "Too many requests",
        "Too many generations within a minute or calls at the same time, by you or by all callers together; or too many invalid keys from your address.",
        f"{TRY_LATER} Usage (/usage) and GET /api/v1/limits show what is left. Operators: check the key's limits, APP_LIMIT_RPM and APP_LIMIT_CONCURRENT.",
    ),
    # -- the model provider
    "upstream-error": Problem(
        502, "Model provider error",
        "The model provider answered with an error.",
        "Try again. If the error persists, check the provider's status page.",
    ),
    "upstream-auth": Problem(
        502, "Model provider rejected the API key",
        "The key that the operator configured is wrong, was revoked, or has no access to this model.",
        "Operators: check OPENAI_API_KEY, or the provider's key in the providers file.",
    ),
    "upstream-quota": Problem(
        502, "Model provider quota exhausted",
        "The quota or credit of the provider account is used up.",
        "Operators: check billing at the provider.",
    ),
    "upstream-unreachable": Problem(
        502, "Model provider unreachable",
        "The connection was refused or reset, the provider's host name could not be resolved, or a proxy in between refused.",
        "Try again. Operators: check the provider's address (OPENAI_BASE_URL or base_url), the proxy variables and the network.",
    ),
    "upstream-tls": Problem(
        502, "Invalid TLS certificate of the model provider",
        "The certificate's name, date or issuer is wrong, or the handshake failed. There is no fallback to plain HTTP.",
        "Operators: check the provider's address (OPENAI_BASE_URL or base_url) and the trusted certificates.",
    ),
    "upstream-redirect": Problem(
        502, "Model provider sent a redirect",
        "Redirects are not followed, because they would send the prompt to another address.",
        "Operators: set the provider's address (OPENAI_BASE_URL or base_url) to the final one.",
    ),
    "upstream-truncated": Problem(
        502, "Answer cut off",
        "The provider's answer ended before its last event, so it may be incomplete. The received part is in the history.",
        "Try again.",
    ),
    "upstream-invalid-response": Problem(
        502, "Invalid response from the model provider",
        "The response does not follow the API that the provider was asked in.",
        "Try again. Operators: check that the provider's address (OPENAI_BASE_URL or base_url) is that of a server with the Responses API. A server that has only chat completions needs kind: chat in the providers file.",
    ),
    "upstream-misconfigured": Problem(
        502, "Model or address not found at the provider",
        "The model or the address that the operator configured does not exist at the provider, or the server has another API.",
        "Operators: check OPENAI_MODEL, the templates' model.id and the provider's address (OPENAI_BASE_URL or base_url), which usually ends in /v1. A server that has only chat completions needs kind: chat in the providers file.",
    ),
    "output-too-large": Problem(
        502, "Answer too large",
        "The answer exceeded 2 MiB and was cut off.",
        "Ask for a shorter answer, or set maxOutputTokens in the template.",
    ),
    "invalid-output": Problem(
        502, "Answer does not match the template's outputs",
        "The model's answer is not JSON that matches the outputs of the template. The history has the raw answer.",
        "Try again. If the error persists, use another model or simplify the template's outputs.",
    ),
    "upstream-rate-limited": Problem(
        503, "Model provider rate limit reached",
        "The model provider accepts no more requests from this service for now. This is not one of your own limits.",
        TRY_LATER,
    ),
    "upstream-unavailable": Problem(
        503, "Model provider unavailable",
        "The provider reported that it is unavailable, or it is still loading the model; or the model failed so often that the service does not call it for a moment.",
        f"{TRY_LATER} Cached answers are still available.",
    ),
    "upstream-timeout": Problem(
        504, "Model provider timed out",
        "The provider did not start to answer, or stopped sending, within the time limit.",
        "Try again.",
    ),
    "deadline-exceeded": Problem(
        504, "Answer took too long",
        "The answer was not complete when the time limit of a generation was reached. The received part is in the history.",
        "Ask for a shorter answer. Operators: raise APP_DEADLINE_S.",
    ),
    # -- the service itself
    "overloaded": Problem(
        503, "Service overloaded",
        "The service is making as many calls to the model provider as it is allowed to, or checks too many unknown keys at once. Cached answers are still available.",
        f"{TRY_LATER} Operators: check APP_UPSTREAM_SLOTS.",
    ),
    "internal-error": Problem(
        500, "Internal error",
        "An unexpected error occurred. The log has the details under the request id.",
        "Try again. If the error persists, give the request id to the operator.",
    ),
    "storage-unavailable": Problem(
        503, "Database unavailable",
        "The database cannot be used at the moment. The service does not start a generation that it cannot store.",
        f"{TRY_LATER} Operators: the log has the cause.",
    ),
    "storage-busy": Problem(
        503, "Database busy",
        "Another process locked the database for too long.",
        TRY_LATER,
    ),
    "storage-full": Problem(
        503, "Disk full",
        "The database's disk has no space for another generation. Reading still works.",
        "Operators: free some disk space.",
    ),
    "interrupted": Problem(
        503, "Generation interrupted",
        "The process that ran this generation stopped before the answer was complete. If a part was stored, it is in the history.",
        "Send the request again.",
    ),
    "shutting-down": Problem(
        503, "Service restarting",
        "The service is stopping or restarting, or is not running; then a proxy in front of it sends this error.",
        TRY_LATER,
    ),
}  # fmt: skip

# The only code with two statuses: a template in the path is a resource that does not exist.
STATUS_IN_PATH = {"unknown-template": 404}
