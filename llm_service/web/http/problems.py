"""Every error that a caller can meet: its status, and what it means in words.

The one table behind the problem documents, the pages under `/problems/`, the OpenAPI document and `docs/errors.md`
(tests hold them together).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """`meaning`: what happened. `remedy`: what to do next."""

    status: int
    title: str
    meaning: str
    remedy: str


PROBLEMS: Mapping[str, Problem] = {
    # -- the caller's request
    "invalid-json": Problem(
        400, "The body is not valid JSON",
        "The request's body could not be read as one JSON value in UTF-8, as RFC 8259 defines it.",
        "Check the body with a JSON tool. NaN, Infinity, comments, a byte order mark and integers of more than 4,300 digits are not JSON.",
    ),
    "duplicate-key": Problem(
        400, "A key stands in the body twice",
        "An object of the body has the same key more than once, so that its meaning is not clear.",
        "Send each key once.",
    ),
    "too-deep": Problem(
        400, "The body is nested too deep",
        "Arrays and objects of the body are nested more than 32 levels deep.",
        "Send a flatter value.",
    ),
    "invalid-idempotency-key": Problem(
        400, "The Idempotency-Key is not valid",
        "The header Idempotency-Key is empty, too long, or has a character that keys do not have.",
        "Send 1 to 255 letters, digits or . _ ~ : + / = @ -, for example a UUID.",
    ),
    "untrusted-host": Problem(
        400, "This host name is not served here",
        "The Host header is missing or not in the list of names that this service answers to. The list protects against DNS rebinding.",
        "Use a name that the service knows. Operators: add the name to APP_TRUSTED_HOSTS.",
    ),
    "not-authenticated": Problem(
        401, "You are not let in",
        "There is no API key in the request, or the one that is there opens nothing: it is mistyped, unknown, revoked or expired. Without a key the service is open at most to clients on its own machine.",
        "Send the key as Authorization: Bearer llms_..., and nowhere else, or sign in at /login. Operators: flask keys create. Behind a proxy, set APP_PROXY_HOPS to the number of proxies.",
    ),
    "not-allowed": Problem(
        403, "Your key does not open this",
        "The key is good, but it was made without the scope that this address needs.",
        "Use a key with that scope, or ask for one. Operators: flask keys create NAME --scope generate,history,usage,admin.",
    ),
    "budget-exhausted": Problem(
        402, "The budget of the day has no room for this",
        "Before a call, the most that it can cost is reserved. Your budget for the day, or that of the whole service, has not so much left.",
        "Ask again after the time in Retry-After, ask for a shorter answer, or ask the operator for a higher budget. Cached answers are still given. What is left stands at /usage and GET /api/v1/limits.",
    ),
    "csrf": Problem(
        403, "The request came from another site",
        "A browser sent this changing request from a page that is not the service's own, did not say where it came from, or did not bring the token of its session.",
        "Open the service's own page anew and send the form from there. Programs send a key as Authorization: Bearer.",
    ),
    "not-found": Problem(
        404, "There is nothing at this address",
        "The address, or the generation that it names, does not exist, was deleted, or belongs to someone else.",
        "Check the address. The list of your generations is at /history, that of all API addresses at /docs.",
    ),
    "unknown-template": Problem(
        422, "There is no such template",
        "No prompt file of the service has this id. In a path the status is 404, in a body 422.",
        "GET /api/v1/templates lists the ids. A name without _v and a number means its highest version.",
    ),
    "method-not-allowed": Problem(
        405, "This address does not take that method",
        "The address exists, but not for this HTTP method.",
        "Use one of the methods in the Allow header.",
    ),
    "not-acceptable": Problem(
        406, "The answer has another type",
        "The Accept header leaves out the type that this address answers with.",
        "Send Accept: application/json, or leave the header out.",
    ),
    "idempotency-conflict": Problem(
        409, "A request with this Idempotency-Key is under way",
        "The first request with this key has no answer yet.",
        "Ask again with the same key after the time in Retry-After: the answer is then given again.",
    ),
    "cancelled": Problem(
        409, "The generation was stopped",
        "Somebody stopped this generation, or its caller left. What came of the answer is kept in the history.",
        "Ask again if you want the answer.",
    ),
    "too-large": Problem(
        413, "The body is too large",
        "A request's body may have at most 1 MiB.",
        "Send less text.",
    ),
    "unsupported-media-type": Problem(
        415, "The body must be JSON",
        "The Content-Type is not application/json in UTF-8, or the body is compressed.",
        "Send Content-Type: application/json and no Content-Encoding.",
    ),
    "invalid-input": Problem(
        422, "A value is missing or out of bounds",
        "The request was understood, but a field is missing, unknown, of the wrong type or outside its bounds.",
        "The member errors names each field and says what is allowed.",
    ),
    "invalid-character": Problem(
        422, "The text holds a character that cannot be kept",
        "NUL and halves of surrogate pairs cannot be stored as text.",
        "Remove the character that errors names.",
    ),
    "unknown-model": Problem(
        422, "This model may not be used here",
        "The model is not in the service's list or not in that of the key, the model provider does not know it, or a budget in US dollars applies and it has no known price.",
        "Leave model out to use the default, or choose one of the list. Operators: APP_MODELS, APP_PRICES_FILE.",
    ),
    "idempotency-mismatch": Problem(
        422, "The Idempotency-Key belongs to another request",
        "This key was sent before with another body.",
        "Use a new key for each new request, and the same only to repeat one.",
    ),
    "upstream-rejected": Problem(
        422, "The model provider refused the request",
        "The provider did not accept the text or an option, for example because the text is too long for the model.",
        "Shorten the input or choose another model.",
    ),
    "rate-limited": Problem(
        429, "Too many requests",
        "As many generations were begun within a minute, or as many calls are under way at once, as you, or all callers together, may have; or too many wrong keys came from this address.",
        "Ask again after the time in Retry-After. What is left stands at /usage and GET /api/v1/limits. Operators: the key's limits, APP_LIMIT_RPM and APP_LIMIT_CONCURRENT.",
    ),
    # -- the model provider
    "upstream-error": Problem(
        502, "The model provider failed",
        "The provider answered with an error of its own.",
        "Try again. If it stays, look at the provider's status page.",
    ),
    "upstream-auth": Problem(
        502, "The model provider refused the service's key",
        "The key that the operator configured is wrong, was revoked, or may not use this model.",
        "Operators: check OPENAI_API_KEY.",
    ),
    "upstream-quota": Problem(
        502, "The provider account is out of credit",
        "The provider no longer answers because the account's quota or credit is used up.",
        "Operators: check billing at the provider.",
    ),
    "upstream-unreachable": Problem(
        502, "The model provider cannot be reached",
        "The connection was refused or reset, or the provider's name could not be resolved.",
        "Try again. Operators: check OPENAI_BASE_URL and the network.",
    ),
    "upstream-tls": Problem(
        502, "The provider's TLS certificate is not valid",
        "The certificate's name, date or issuer is wrong, or the handshake failed. There is no fall-back to plain HTTP.",
        "Operators: check OPENAI_BASE_URL and the trusted certificates.",
    ),
    "upstream-redirect": Problem(
        502, "The model provider redirects elsewhere",
        "A redirect would carry the prompt to another address, and is not followed.",
        "Operators: set OPENAI_BASE_URL to the final address.",
    ),
    "upstream-truncated": Problem(
        502, "The answer was cut off",
        "The provider's answer ended before its last event, so that it is not known to be whole. What came is kept in the history.",
        "Try again.",
    ),
    "upstream-invalid-response": Problem(
        502, "The provider sent an unreadable answer",
        "What came back is not an answer of the Responses API.",
        "Try again. Operators: check that OPENAI_BASE_URL leads to a server that speaks the Responses API.",
    ),
    "upstream-misconfigured": Problem(
        502, "The provider does not know the configured model",
        "The model or the address that the operator configured does not exist at the provider.",
        "Operators: check OPENAI_MODEL, the templates' model.id and OPENAI_BASE_URL.",
    ),
    "output-too-large": Problem(
        502, "The answer is too large",
        "The answer passed 2 MiB and was cut.",
        "Ask for less, or set maxOutputTokens in the template.",
    ),
    "invalid-output": Problem(
        502, "The answer is not the JSON that was asked for",
        "The model answered, but its answer does not keep what the template declares under outputs. It is in the history as it came.",
        "Try again. If it stays, ask another model, or make the template's outputs simpler.",
    ),
    "upstream-rate-limited": Problem(
        503, "The model provider is limiting the service",
        "The provider takes no more requests from this service for now. It is not a limit of your own.",
        "Try again after the time in Retry-After.",
    ),
    "upstream-unavailable": Problem(
        503, "The model provider is not available",
        "The provider says that it is not available for a while, or it failed so often that the service leaves it alone for a moment.",
        "Try again after the time in Retry-After. Cached answers are still given.",
    ),
    "upstream-timeout": Problem(
        504, "The model provider did not answer in time",
        "No answer began, or it fell silent, within the time that is allowed.",
        "Try again.",
    ),
    "deadline-exceeded": Problem(
        504, "The answer took too long",
        "The answer was still coming when a generation's time was up. What came is kept in the history.",
        "Ask for less, or raise APP_DEADLINE_S.",
    ),
    # -- the service itself
    "overloaded": Problem(
        503, "The service is at its limit",
        "As many calls to the model provider are under way as the service may make. Cached answers are still given.",
        "Try again in a moment. Operators: APP_UPSTREAM_SLOTS.",
    ),
    "internal-error": Problem(
        500, "Something is wrong in the service",
        "The service met an error that it did not expect. It is in the log under the request's id.",
        "Try again. If it stays, give the request's id to the operator.",
    ),
    "storage-unavailable": Problem(
        503, "The database cannot be used",
        "The service answers nothing that it cannot keep, and the database does not take it right now.",
        "Try again shortly. Operators: the log has the cause.",
    ),
    "storage-busy": Problem(
        503, "The database is busy",
        "Another writer held the database for too long.",
        "Try again in a second.",
    ),
    "storage-full": Problem(
        503, "The disk is full",
        "The disk of the database has no space left for another generation. Reading still works.",
        "Operators: free some space.",
    ),
    "interrupted": Problem(
        503, "The service stopped before the answer was whole",
        "The process that ran this generation was stopped or killed. What was stored of it is in the history.",
        "Ask again.",
    ),
    "shutting-down": Problem(
        503, "The service is stopping",
        "The service is being stopped or restarted, or does not run; a proxy in front of it answers in its place.",
        "Try again in a few seconds.",
    ),
}  # fmt: skip

# The only code with two statuses: a template that the path names is a resource that does not exist.
STATUS_IN_PATH = {"unknown-template": 404}
