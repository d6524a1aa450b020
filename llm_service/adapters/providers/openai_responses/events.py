"""Decodes the events of the Responses API: what is read of them, and no more."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from llm_service.core.errors import UpstreamInvalidResponse

from ..openai_api.reported import keeps_alive, names_an_error, value_of

_END = "[DONE]"


class Event(msgspec.Struct, gc=False):  # it is never part of a cycle
    """`code` to `detail` are those of an error; `choices` and `object` those of other APIs."""

    type: str
    delta: Any = None
    item_id: Any = None
    output_index: Any = None
    text: Any = None
    refusal: Any = None
    part: Any = None
    item: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
    status: Any = None
    detail: Any = None
    choices: Any = None
    object: Any = None


_DECODER = msgspec.json.Decoder(list[Event])


def decoded(data: Sequence[bytes], names: Callable[[], Sequence[str]]) -> Iterable[Event]:
    """As many events as `data`. All in one call; or one by one, if one of them is not as usual: what follows the terminal event need not be valid.

    `names`: gives their names, which are the types of events that have none.
    """
    try:
        events = _DECODER.decode(b"[%b]" % b",".join(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        events = []
    return events if len(events) == len(data) else _one_by_one(data, names())


def _one_by_one(data: Sequence[bytes], names: Sequence[str]) -> Iterator[Event]:
    for text, name in zip(data, names, strict=True):
        yield Event(_END) if text.strip() == _END.encode() else _event(text, name)


def _event(data: bytes, name: str) -> Event:
    if keeps_alive(data, name):
        return Event(name)
    event = value_of(data, name)
    if not isinstance(event, dict) and names_an_error(name):
        return Event("error", error=event or name)
    if not isinstance(event, dict):
        raise UpstreamInvalidResponse("The model provider sent an event that is not an object.")
    known = {field: event[field] for field in Event.__struct_fields__ if field in event}
    if not isinstance(known.get("type"), str):
        known["type"] = name or ("error" if known.get("error") else "")
    return Event(**known)
