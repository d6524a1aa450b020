"""Collects an answer from its events: which texts are output, and whether they are all.

Servers send the text of a message up to five times: in deltas, in the last events of the part and of the item, and in the
terminal event. The deltas count. What came only later is added when it comes.

Longer than other modules: what an event means depends on all events before it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from llm_service.core.errors import UpstreamInvalidResponse
from llm_service.core.generation.model import Billed, Done, ProviderCall, ProviderEvent, Status
from llm_service.core.text import repair

from ..openai_api.json_answer import json_answer
from ..openai_api.quirks import Quirks
from ..openai_api.text import AnswerText
from ..openai_api.thinking import ThinkFilter
from ..openai_api.usage import known_counts, reported_cost
from ..openai_api.verdict import CUT, UNKNOWN, incomplete_reason, shown_reason
from .events import Event
from .items import (
    BETWEEN_MESSAGES,
    MESSAGE,
    REASONING,
    Message,
    answer_among,
    is_cut,
    is_shown,
    joined,
    message_of,
    messages_told,
    phase_of,
    text_of,
    type_of,
    without_thoughts,
)
from .usage import billed_of, parse_usage

TEXT_DELTA = "response.output_text.delta"
# Names no item: the next event has to say to which it belongs.
_NOBODY = object()


class _Item:
    """An item whose events arrive. `start`: where its text begins in the answer; None = it has none.

    `part_start`: where its current part begins. `part_ended`: the text of the last part whose end was told.
    `ended`: the end of the whole item was told. `index`: that of its announcement.
    """

    def __init__(self, kind: str = MESSAGE, phase: str | None = None, think: ThinkFilter | None = None) -> None:
        self.kind = kind
        self.phase = phase
        self.think = think
        self.start: int | None = None
        self.part_start = 0
        self.part_ended = ""
        self.ended = False
        self.index: Any = None

    def is_announced_as(self, kind: str, phase: str | None, index: Any) -> bool:
        """Whether an announcement with its name may be of this item: servers give two items one name."""
        return (self.kind, self.phase) == (kind, phase) and (self.index is None or self.index == index)

    @property
    def is_shown(self) -> bool:
        return is_shown(self.kind, self.phase)


class Answer(AnswerText):
    """Takes events in order; `finish` ends it with the terminal event."""

    def __init__(self, call: ProviderCall, quirks: Quirks) -> None:
        super().__init__()
        self._call = call
        self._quirks = quirks
        self._by_id: dict[str, _Item] = {}
        self._by_index: dict[int, _Item] = {}
        # The item whose text arrives, and how its events name it.
        self._item = self._new_item()
        self._item_id: Any = None
        self._index: Any = None
        # Whether deltas are added as they are: the item is shown, has begun, and has no thoughts.
        self._plain = False
        # Where text of which item begins, in order. Items may take turns.
        self._shown: list[tuple[int, _Item]] = []
        self._refused = False
        self._cut = False
        self._thought = False

    @property
    def thought(self) -> bool:
        """Whether the model was seen to think."""
        return self._thought

    def take_text(self, events: Iterator[tuple[int, Event]]) -> tuple[int, Event] | None:
        """Take numbered events as long as they are deltas of text; the first other one. This runs for all tokens."""
        for numbered in events:
            event = numbered[1]
            if event.type != TEXT_DELTA:
                return numbered
            delta = event.delta
            if (
                self._plain
                and event.item_id == self._item_id
                and event.output_index == self._index
                and type(delta) is str
            ):
                self._new.append(delta)
            else:
                self.take(event)
        return None

    def take(self, event: Event) -> None:
        """The delta of a text."""
        if event.item_id != self._item_id or event.output_index != self._index:
            self._turn_to(event.item_id, event.output_index)
        delta = event.delta
        if self._plain and type(delta) is str:
            self._new.append(delta)
        else:
            self._take_first(delta)

    def take_refusal(self, event: Event) -> None:
        self._refused = True
        self.take(event)

    def take_thought(self, event: Event) -> None:
        self._thought = True

    def begin_item(self, event: Event) -> None:
        """An item is announced. Its id and its index are often not those of its deltas."""
        item, kind = event.item, type_of(event.item)
        self._thought |= kind == REASONING
        item_id = item.get("id") if isinstance(item, dict) else None
        begun = self._find(item_id, None)
        if begun is None or not begun.is_announced_as(kind, phase_of(item), event.output_index):
            begun = self._new_item(kind, phase_of(item))
        begun.index = event.output_index
        self._switch_to(begun)
        self._name(begun, item_id, event.output_index)

    def end_part(self, event: Event) -> None:
        """The whole text of a part, of which deltas may have been missing."""
        text, refused = text_of(event.part or {"text": event.text, "refusal": event.refusal})
        self._refused |= refused
        if self._turns_to_end_of(event.item_id, event.output_index, text, self._item.part_start):
            item = self._item
            # The end of a part is told twice, the second time without anything new.
            if text != item.part_ended or self.length != item.part_start:
                self._recover(text, item.part_start)
                item.part_ended, item.part_start = text, self.length

    def end_item(self, event: Event) -> None:
        item = event.item
        if not isinstance(item, dict) or not item:
            return
        self._look_at([item])
        if type_of(item) != MESSAGE:
            # What comes next without a name is not its text.
            self._by_index.pop(event.output_index, None)
            if self._item.kind != MESSAGE:
                self._switch_to(self._new_item())
            return
        message = message_of(item, strip_think=False)
        self._refused |= message.refused
        if self._turns_to_end_of(item.get("id"), event.output_index, message.text, self._item.start):
            self._item.phase = self._item.phase or message.phase
            self._recover(message.text, self._item.start or 0)
        if self._item.start is not None:
            # What comes next begins another message, even without a name, or with the same one.
            self._item.ended = True
            self._item_id = _NOBODY

    def finish(self, response: Any, event_type: str, upstream_id: str) -> list[ProviderEvent]:
        """The events after the last text. Raises the error of a response that failed."""
        if not isinstance(response, dict):
            raise UpstreamInvalidResponse("The model provider's last event has no response.")
        self._end_item_text()
        self._look_at(response.get("output"))
        late = list[ProviderEvent](self.new_text())
        messages = self._reconciled(messages_told(response, strip_think=self._quirks.strip_think))
        chosen = answer_among(messages)
        text = repair(joined(chosen))
        late += self._late_text(text)
        if self._call.output is not None and (part := json_answer([message.text for message in chosen])) is not None:
            text = part
        refused = self._refused or any(message.refused for message in chosen)
        reported, counts = self._reported_reason(response, event_type), parse_usage(response.get("usage"))
        usage = known_counts(counts, text=bool(text), reasoned=self._thought)
        reason = incomplete_reason(text, refused, reported, usage, self._call)
        model = response.get("model")
        done = Done(
            status=Status.INCOMPLETE if reason else Status.COMPLETED,
            text=text,
            usage=usage,
            model=model if isinstance(model, str) else self._call.model,
            incomplete_reason=reason,
            upstream_request_id=upstream_id[:200] or None,
            cost_usd=reported_cost(response.get("usage")),
        )
        return [*late, done]

    def billed(self, response: Any) -> Billed | None:
        """What a response that failed reports of its tokens and cost; None = nothing."""
        return billed_of(response, text=self.started, reasoned=self._thought)

    # -- the items

    def _new_item(self, kind: str = MESSAGE, phase: str | None = None) -> _Item:
        return _Item(kind, phase, ThinkFilter() if self._quirks.strip_think else None)

    def _find(self, item_id: Any, index: Any) -> _Item | None:
        """By the id, or else by the index: some servers give each delta another id."""
        item = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if item is None and isinstance(index, int):
            item = self._by_index.get(index)
        return None if item is None or item.ended else item

    def _name(self, item: _Item, item_id: Any, index: Any) -> None:
        if isinstance(item_id, str):
            self._by_id[item_id] = item
        if isinstance(index, int):
            self._by_index[index] = item
        self._item_id, self._index = item_id, index

    def _turn_to(self, item_id: Any, index: Any) -> None:
        """The item of a delta. One that nobody announced is a message."""
        item = self._find(item_id, index)
        if item is None and (item_id is not None or index is not None):
            item = self._new_item() if self._is_named or self._item.ended else self._item
            self._name(item, item_id, index)
        self._switch_to(item or (self._new_item() if self._item.ended else self._item))
        self._item_id, self._index = item_id, index

    def _turns_to_end_of(self, item_id: Any, index: Any, told: str, since: int | None) -> bool:
        """Turn to the item that has this text at its end; whether more text may be added to it.

        If its name is new, it may be that of an item whose deltas had another name: its text has arrived `since`.
        """
        if not told:
            return False
        item = self._find(item_id, index)
        if item is None:
            if self._is_all(told):
                return False  # of one message, each of whose deltas had a name of its own
            named = item_id is not None or index is not None
            item = self._item if self._is_of_current(told, since, named=named) else self._new_item()
            self._switch_to(item)
            if named:
                self._name(item, item_id, index)
        self._switch_to(item)
        return not item.ended and (item.start is None or self._shown[-1][1] is item)

    def _is_of_current(self, told: str, since: int | None, *, named: bool) -> bool:
        """Whether this end of a text is that of the current item. `named`: it has a name that no item has yet."""
        item = self._item
        if item.start is None or since is None:
            return not (named and self._is_named)
        if told in (item.part_ended, self.text_since(item.start)):
            return True  # told again
        if item.ended:
            return False
        arrived = self.text_since(since)
        return told.startswith(arrived) and bool(arrived or not named)

    def _is_all(self, told: str) -> bool:
        """Whether it is the text of several messages without the lines between them."""
        between = len(BETWEEN_MESSAGES) * (len(self._shown) - 1)
        if between <= 0 or len(told) != self.length - between:
            return False
        return told == "".join(text for text, _ in self._texts(self.text_since(0)))

    @property
    def _is_named(self) -> bool:
        """Whether any item has a name."""
        return bool(self._by_id or self._by_index)

    def _switch_to(self, item: _Item) -> None:
        if item is not self._item:
            self._end_item_text()
            self._item = item
            self._item_id = _NOBODY
            self._plain = False

    def _end_item_text(self) -> None:
        """What the filter of thoughts holds back is no thought."""
        if self._item.is_shown and self._item.think is not None and (held := self._item.think.end()):
            self._show(held)

    # -- the text

    def _take_first(self, delta: Any) -> None:
        """A delta that is not simply added: the first of its item, or of one that is not shown."""
        if not isinstance(delta, str):
            self.add(delta)  # refuses it
        item = self._item
        if not item.is_shown:
            return
        text = delta
        if item.think is not None:
            text = item.think.feed(delta)
            self._thought |= item.think.thought
        if text:
            self._show(text)
            self._plain = item.think is None or item.think.passing

    def _show(self, text: str) -> None:
        """Add the text of the current item, which may be its first."""
        if not self._shown or self._shown[-1][1] is not self._item:
            if self._shown:
                self.add(BETWEEN_MESSAGES)
            self._item.start = self._item.part_start = self.length
            self._shown.append((self.length, self._item))
        self.add(text)

    def _recover(self, told: str, start: int) -> None:
        """Add what a text has beyond that which arrived of it since `start`."""
        if not self._item.is_shown:
            return
        self._end_item_text()
        if self._item.think is not None:
            told = without_thoughts(told)
        if self._item.start is not None and len(told) == self.length - start:
            return  # nothing is missing; this is how nearly all texts end
        arrived = self.text_since(start) if self._item.start is not None else ""
        if len(told) > len(arrived) and told.startswith(arrived):
            self._show(told[len(arrived) :])

    def _reconciled(self, told: list[Message]) -> list[Message]:
        """The messages: as the terminal event tells them, unless it says something else than the deltas."""
        whole = self.whole
        if len(self._shown) == len(told) == 1 and told[0].text == whole:
            return told  # as nearly all answers
        came = [Message(text, item.phase) for text, item in self._texts(whole) if item.kind == MESSAGE]
        text = "".join(message.text for message in came)
        for candidates in (answer_among(told), told):
            same = "".join(message.text for message in candidates)
            # One message at the end may be several that were glued.
            if same.startswith(text) and (len(same) > len(text) or len(told) >= len(came)):
                return told
        return came

    def _texts(self, whole: str) -> list[tuple[str, _Item]]:
        """The texts of the items that are shown, in their order. `whole`: all text."""
        ends = [start - len(BETWEEN_MESSAGES) for start, _ in self._shown[1:]]
        return [(whole[start:end], item) for (start, item), end in zip(self._shown, [*ends, len(whole)], strict=False)]

    def _late_text(self, final: str) -> list[ProviderEvent]:
        """What the answer has beyond the text that was sent."""
        sent = self.whole
        if final == sent or not final.startswith(sent):
            return []
        self.add(final[len(sent) :])
        return list(self.new_text())

    # -- the end

    def _look_at(self, output: Any) -> None:
        """What complete items say besides their text. Only they may say that a text was a thought, which was shown then."""
        items = output if isinstance(output, list) else []
        for item in items:
            self._cut |= is_cut(item)
            kind = type_of(item)
            self._thought |= kind == REASONING
            if kind != MESSAGE and (came := self._named_as(item)) is not None and not came.ended:
                # Servers use a name twice: then it is the message's, as that of one whose end was told.
                shared = any(type_of(other) == MESSAGE and other.get("id") == item["id"] for other in items)
                came.kind = came.kind if shared else kind

    def _named_as(self, item: Any) -> _Item | None:
        """The item that has the id of this one."""
        item_id = item.get("id") if isinstance(item, dict) else None
        return self._by_id.get(item_id) if isinstance(item_id, str) else None

    def _reported_reason(self, response: Mapping[str, Any], event_type: str) -> str | None:
        """Why the server itself calls the answer incomplete, in the event or in any item; None if it does not."""
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if isinstance(reason, str) and reason:
            return shown_reason(reason)
        if self._cut:
            return CUT
        return UNKNOWN if "incomplete" in (response.get("status"), event_type.removeprefix("response.")) else None
