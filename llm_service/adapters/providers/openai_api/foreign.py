"""What is said of a server that does not speak the API it was asked in.

These faults end in the same way each time: such a call is made once, and its operator has to change a setting.
"""

import re
from dataclasses import dataclass

from llm_service.core.errors import UpstreamInvalidResponse, UpstreamMisconfigured

_MEDIA_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9.+-]+")
NOTHING = "nothing"
RESPONSES_KIND = "responses"
CHAT_KIND = "chat"
_ADDRESS = (
    "Operators: check that OPENAI_BASE_URL, or base_url in the providers file, is the address that the server's "
    "documentation names, usually one that ends in /v1."
)


@dataclass(frozen=True, slots=True)
class _Api:
    """`other`: the API that a server may have instead. `kind`: that API's kind in the providers file."""

    name: str
    other: str
    kind: str


_RESPONSES = _Api("Responses API", "chat completions", CHAT_KIND)
_APIS = {CHAT_KIND: _Api("chat completions API", "the Responses API", RESPONSES_KIND)}


def no_such_api(kind: str) -> UpstreamMisconfigured:
    """The server has nothing at the address of the calls. `kind`: that of the wire."""
    api = _api(kind)
    return UpstreamMisconfigured(
        f"The model provider has no {api.name} at this address. {_ADDRESS} {_needs_kind(api)}",
    )


def not_an_api(media: str, kind: str) -> UpstreamInvalidResponse:
    """The answer is neither JSON nor a stream of events. `media`: what it is instead; `NOTHING`: it is empty."""
    if media == NOTHING:
        shown = "an empty body"
    elif media == "text/html":
        shown = "a web page"
    elif not media:
        shown = "data without a Content-Type"
    else:
        shown = media if len(media) < 60 and _MEDIA_TYPE.fullmatch(media) else "another type"
    return _once(f"The model provider's address answered with {shown}, which is not a {_api(kind).name}. {_ADDRESS}")


def another_api(kind: str) -> UpstreamInvalidResponse:
    """The answer has the form of the other API."""
    api = _api(kind)
    return _once(f"The model provider answered in the form of {api.other}, not of the {api.name}. {_needs_kind(api)}")


def no_answer_of_ours(kind: str, what: str = "events") -> UpstreamInvalidResponse:
    """The answer is JSON, or a stream of events, but nothing in it is of the API. `what`: `events` or `JSON`."""
    return _once(f"The model provider sent {what} that the {_api(kind).name} does not have. {_ADDRESS}")


def _needs_kind(api: _Api) -> str:
    return f"A server that has only {api.other} needs kind: {api.kind} in the providers file."


def _api(kind: str) -> _Api:
    return _APIS.get(kind, _RESPONSES)


def _once(detail: str) -> UpstreamInvalidResponse:
    unlike = UpstreamInvalidResponse(detail)
    unlike.max_attempts = 1
    unlike.may_be_billed = False
    return unlike
