"""What an answer is, whatever shape a server gives it: its text, and whether it is complete.

Longer than other modules: what servers send is one table.
"""

from typing import Any

import pytest

from llm_service.adapters.providers.openai_api.quirks import Quirks
from llm_service.core.generation.model import Status
from llm_service.core.usage.tokens import Usage
from tests.servers.asking import VERDICT, ask
from tests.servers.shapes import CREATED, added, both_forms, delta, ended, last, message, reasoning, response, stream
from tests.support.upstream import Upstream
from tests.support.upstream_replay import KEEP_ALIVES, Replay, sse, whole

STRIP = Quirks(strip_think=True)
TOOL_CALL = {"id": "fc_1", "type": "function_call", "name": "look_up", "arguments": "{}", "call_id": "c"}
THOUGHT = reasoning("Rome was not built in a day.")
COMMENTARY = message("Looking at the map. ", id="msg_0", phase="commentary")
FINAL = message("Rome.", phase="final_answer")


def replays(cases: dict[str, list[Replay]]) -> pytest.MarkDecorator:
    named = [(f"{name} {number}", replay) for name, made in cases.items() for number, replay in enumerate(made)]
    return pytest.mark.parametrize("replay", [replay for _, replay in named], ids=[name for name, _ in named])


def one_text(**events: list[Any]) -> dict[str, list[Replay]]:
    return {name: [stream(*made)] for name, made in events.items()}


@replays(
    {
        "a reasoning item": both_forms(THOUGHT, message("Rome.")),
        "its parts are called output": both_forms(reasoning("Hm.", "output_text"), message("Rome.")),
        "its parts are called output, in deltas": [
            stream(
                added(THOUGHT, 0),
                delta("Hm. ", "rs_1", 0),
                ended(THOUGHT, 0),
                added(message(), 1),
                delta("Rome.", "msg_1", 1),
                last(THOUGHT, message("Rome.")),
            ),
            stream(added(THOUGHT, 0), delta("Hm. ", "rs_1", 0), ended(THOUGHT, 0), delta("Rome."), last()),
            stream(added(THOUGHT, 0), ended(THOUGHT, 0), delta("Rome.", "msg_1", 0), last()),
        ],
        "a summary": both_forms(
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "status": None},
            message("Rome."),
        ),
        "a part of the message": both_forms(
            message(content=[{"type": "reasoning_text", "text": "Hm."}, {"type": "output_text", "text": "Rome."}])
        ),
        "events of thoughts": [
            stream(
                {"type": "response.reasoning_text.delta", "delta": "Hm.", "item_id": "rs_1", "output_index": 0},
                {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
                delta("Rome."),
                last(message("Rome.")),
            )
        ],
    }
)
def test_thoughts_are_no_answer(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert (heard.streamed, heard.answer.text, heard.answer.status) == ("Rome.", "Rome.", Status.COMPLETED)


@replays(
    {
        "only thoughts": [*both_forms(THOUGHT), *both_forms(reasoning("Hm.", "output_text"))],
        "only a tool call": both_forms(TOOL_CALL),
        "no item": both_forms(),
        "an empty message": both_forms(message(""), message()),
        "an empty delta": [stream(delta("", "msg_1", 0), last(message("")))],
        "white space": [*both_forms(message("\n\n")), stream(delta(" \n"), last())],
        "only commentary": [
            *both_forms(COMMENTARY),
            stream(added(COMMENTARY, 0), delta("Looking.", "msg_0", 0), last(COMMENTARY)),
        ],
    }
)
def test_an_empty_answer_is_not_complete(upstream: Upstream, replay: Replay) -> None:
    answer = ask(upstream, replay).answer
    assert (answer.status, answer.incomplete_reason) == (Status.INCOMPLETE, "empty_output")
    assert answer.text.strip() == ""
    assert answer.usage == Usage(31, 9, 40)


@replays(
    one_text(
        the_end_of_the_text=[{"type": "response.output_text.done", "text": "Rome."}, last()],
        the_end_of_the_part=[
            {"type": "response.content_part.done", "part": {"type": "output_text", "text": "Rome."}},
            last(),
        ],
        the_end_of_the_item=[ended(message("Rome.")), last()],
        the_end_of_the_item_as_a_string=[ended(message(content="Rome.")), last()],
        the_terminal_event=[last(message("Rome."))],
        the_text_of_the_response=[last(output_text="Rome.")],
        after_thoughts_with_another_name=[
            added(THOUGHT, 0),
            {"type": "response.output_text.done", "text": "Rome.", "item_id": "msg_1", "output_index": 1},
            last(),
        ],
        the_end_of_the_item_twice=[ended(message("Rome."), 0), ended(message("Rome."), 0), last()],
        everything_after_no_delta=[
            added(message(), 0),
            {"type": "response.output_text.done", "text": "Rome.", "item_id": "msg_1", "output_index": 0, "content_index": 0},
            {"type": "response.content_part.done", "part": {"type": "output_text", "text": "Rome."}, "item_id": "msg_1",
             "output_index": 0, "content_index": 0},
            ended(message("Rome."), 0),
            last(message("Rome.")),
        ],
        the_first_delta_only=[delta("Ro", "msg_1", 0), ended(message("Rome."), 0), last()],
        a_lost_end=[delta("Ro"), last(message("Rome."))],
        other_ids_at_the_end=[delta("Ro", "chunk_9"), delta("me.", "chunk_9"), ended(message("Rome.")), last(message("Rome."))],
        two_parts=[
            {"type": "response.output_text.done", "text": "Ro", "content_index": 0},
            {"type": "response.output_text.done", "text": "me.", "content_index": 1},
            ended(message("Ro", "me.")),
            last(),
        ],
    )
)  # fmt: skip
def test_text_that_comes_late_is_added_once(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert (heard.streamed, heard.answer.text, heard.answer.status) == ("Rome.", "Rome.", Status.COMPLETED)


def test_deltas_count_if_the_terminal_event_says_something_else(upstream: Upstream) -> None:
    heard = ask(upstream, stream(delta("Rome."), last(message("Ostia."))))
    assert (heard.streamed, heard.answer.text) == ("Rome.", "Rome.")


CUT_ITEM = message("Rome", status="incomplete")


@replays(
    {
        "an item": [*both_forms(CUT_ITEM), stream(delta("Rome"), ended(CUT_ITEM), last())],
        "thoughts": both_forms({**THOUGHT, "status": "incomplete"}),
        "only the status": [
            *both_forms(message("Rome"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        ],
        "only the event": [
            stream(last(message("Rome"), event="incomplete", incomplete_details={"reason": "max_output_tokens"}))
        ],
        "only the details": both_forms(message("Rome"), incomplete_details={"reason": "max_output_tokens"}),
        "another word": both_forms(message("Rome"), status="incomplete", incomplete_details={"reason": "length"}),
        "no word": both_forms(CUT_ITEM, status="incomplete"),
    }
)
def test_what_says_that_it_was_cut_is_not_complete(upstream: Upstream, replay: Replay) -> None:
    answer = ask(upstream, replay).answer
    assert (answer.status, answer.incomplete_reason) == (Status.INCOMPLETE, "max_output_tokens")


@pytest.mark.parametrize(("limit", "reason"), [(8, "max_output_tokens"), (9, "max_output_tokens"), (10, None)])
@replays({"stream": [stream(delta("Rome"), last(message("Rome")))], "whole": both_forms(message("Rome"))})
def test_who_used_all_tokens_was_cut(upstream: Upstream, replay: Replay, limit: int, reason: str | None) -> None:
    answer = ask(upstream, replay, options={"max_output_tokens": limit}).answer
    assert answer.incomplete_reason == reason


@pytest.mark.parametrize(
    ("items", "more", "reason"),
    [
        ([], {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ([message("Ro")], {"status": "incomplete"}, "unknown"),
        ([message(content=[{"type": "refusal", "refusal": "I cannot."}])], {}, "refusal"),
        ([message(content=[{"type": "output_text", "text": "I cannot.", "refusal": None}])], {}, None),
    ],
)
def test_other_reasons_stay(upstream: Upstream, items: list[Any], more: dict[str, Any], reason: str | None) -> None:
    for replay in both_forms(*items, **more):
        assert ask(upstream, replay).answer.incomplete_reason == reason


TWO = [message("Rome lies there.", id="msg_a"), message("It is old.", id="msg_b")]
NAMELESS = {"type": "message", "content": [{"type": "output_text", "text": "Rome lies there."}]}


def told(text: str, **names: Any) -> dict[str, Any]:
    return {"type": "response.output_text.done", "text": text, **names}


@replays(
    {
        "by their ids": [stream(delta("Rome lies ", "msg_a"), delta("there.", "msg_a"), delta("It is old.", "msg_b"), last(*TWO))],
        "by their indexes": [stream(delta("Rome lies there.", index=0), delta("It is old.", index=1), last())],
        "by both": [stream(delta("Rome lies there.", "msg_a", 0), delta("It is old.", "msg_b", 1), last())],
        "as announced": [
            stream(
                added(TWO[0]), delta("Rome lies there."), ended(TWO[0]), added(TWO[1]), delta("It is old."), ended(TWO[1]), last()
            )
        ],
        "the second at the end": [stream(delta("Rome lies there.", "msg_a", 0), ended(TWO[0], 0), ended(TWO[1], 1), last(*TWO))],
        "the second in the terminal event": [stream(delta("Rome lies there.", "msg_a", 0), last(*TWO))],
        "without deltas": both_forms(*TWO),
        "glued in the end": [stream(delta("Rome lies there.", "a"), delta("It is old.", "b"), last(message("Rome lies there.It is old.")))],
        "with an empty one between": both_forms(TWO[0], message("", id="msg_c"), TWO[1]),
        "only the ends of their texts": [
            stream(told("Rome lies there.", item_id="msg_a", output_index=0), told("It is old.", item_id="msg_b", output_index=1), last()),
            stream(told("Rome lies there.", item_id="msg_a"), told("It is old.", item_id="msg_b"), last()),
        ],
        "the end of the first text, deltas of the second": [
            stream(told("Rome lies there.", item_id="msg_a", output_index=0), delta("It is old.", "msg_b", 1), last())
        ],
        "ended, not announced": [
            stream(delta("Rome lies there."), ended(NAMELESS), delta("It is old."), last()),
            stream(delta("Rome lies there."), ended(NAMELESS), told("It is old."), last()),
        ],
        "announced with the same id": [
            stream(added(message(), 0), delta("Rome lies there.", "msg_1", 0), added(message(), 1), delta("It is old.", "msg_1", 1), last())
        ],
        "by the same id": [
            stream(ended(message("Rome lies there."), 0), ended(message("It is old."), 0), last()),
            stream(told("Rome lies there."), ended(message("Rome lies there.")), told("It is old."), ended(message("It is old.")), last()),
        ],
    }
)  # fmt: skip
def test_messages_are_joined_by_a_blank_line(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert heard.streamed == heard.answer.text == "Rome lies there.\n\nIt is old."


@replays(
    {
        "another id each time": [
            stream(
                added(message(), 0),
                delta("Ro", "x1", 0),
                delta("me", "x2", 0),
                delta(".", "x3", 0),
                last(message("Rome.")),
            )
        ],
        "no id at first": [stream(delta("Ro"), delta("me.", "msg_1", 0), last())],
        "no index at times": [stream(delta("Ro", "msg_1", 0), delta("me", "msg_1"), delta(".", "msg_1", 0), last())],
        "ends between its deltas": [
            stream(
                added(THOUGHT, 0),
                added(message(), 1),
                delta("Ro", "msg_1", 1),
                ended(THOUGHT, 0),
                delta("me", "msg_1", 1),
                {"type": "response.content_part.done", "part": {}},
                delta("."),
                ended(TOOL_CALL, 2),
                last(),
            )
        ],
        "an id for the item, none for its text": [stream(added(message(), 0), delta("Ro"), delta("me."), last())],
    }
)
def test_one_message_is_not_torn_by_its_names(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert heard.streamed == heard.answer.text == "Rome."


def test_a_message_whose_events_all_have_other_names_is_not_told_twice(upstream: Upstream) -> None:
    events = [delta("Rome ", "x1"), delta("is old.", "x2")]
    ends = [told("Rome is old.", item_id="x3"), ended(message("Rome is old.", id="x4"))]
    heard = ask(upstream, stream(*events, *ends, last(message("Rome is old.", id="x5"))))
    assert heard.streamed == heard.answer.text == "Rome \n\nis old."


def test_the_end_of_a_message_may_come_after_the_next_has_begun(upstream: Upstream) -> None:
    events = [delta("Rome lies ", "msg_a", 0), delta("It is ", "msg_b", 1), ended(TWO[0], 0), delta("old.", "msg_b", 1)]
    heard = ask(upstream, stream(*events, ended(TWO[1], 1), last()))
    assert heard.streamed == heard.answer.text == "Rome lies \n\nIt is old."


def test_nothing_is_lost_when_messages_take_turns(upstream: Upstream) -> None:
    heard = ask(
        upstream, stream(delta("Rome ", "a"), delta("It ", "b"), delta("lies.", "a"), delta("is.", "b"), last())
    )
    assert heard.streamed == heard.answer.text == "Rome \n\nIt \n\nlies.\n\nis."


def test_glued_deltas_are_told_apart_by_the_terminal_event(upstream: Upstream) -> None:
    """Nothing tells the messages apart before it, so a stream shows them as they came."""
    heard = ask(upstream, stream(delta("Rome lies there."), delta("It is old."), last(*TWO)))
    assert heard.answer.text == "Rome lies there.\n\nIt is old."


@replays(
    {
        "announced": [
            stream(
                added(COMMENTARY, 0), delta("Looking at ", "msg_0", 0), delta("the map. ", "msg_0", 0), ended(COMMENTARY, 0),
                added(FINAL, 1), delta("Ro", "msg_1", 1), delta("me.", "msg_1", 1), ended(FINAL, 1), last(COMMENTARY, FINAL),
            ),
            stream(
                added(COMMENTARY, 0), delta("Looking at the map. ", "msg_0", 0), added(FINAL, 1), delta("Rome.", "msg_1", 1), last()
            ),
        ],
        "with the same id": [
            stream(added({**COMMENTARY, "id": "m"}), delta("Looking.", "m"), added({**FINAL, "id": "m"}), delta("Rome.", "m"), last()),
            stream(added({**COMMENTARY, "id": "m"}), delta("Looking."), added({**FINAL, "id": "m"}), delta("Rome."), last()),
            stream(added({**THOUGHT, "id": "m"}), delta("Hm.", "m"), added({**FINAL, "id": "m"}), delta("Rome.", "m"), last()),
        ],
        "without deltas": [*both_forms(COMMENTARY, FINAL), *both_forms(FINAL, COMMENTARY)],
        "one without a phase": [*both_forms(message("Well."), FINAL), *both_forms(COMMENTARY, message("Rome."))],
        "only the final one in the end": [
            stream(added(COMMENTARY, 0), delta("Looking.", "msg_0", 0), added(FINAL, 1), delta("Rome.", "msg_1", 1), last(FINAL))
        ],
    }
)  # fmt: skip
def test_only_the_final_answer_is_output(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert heard.streamed == heard.answer.text == "Rome."


@replays(
    {
        "at the end": [stream(delta("Hm.", "rs_1", 0), delta("Rome.", "msg_1", 1), last(THOUGHT, message("Rome.")))],
        "at the end of the item": [stream(delta("Hm.", "rs_1", 0), ended(THOUGHT, 0), delta("Rome.", "msg_1", 1), last())],
        "in the end of a part": [
            stream(
                {"type": "response.content_part.done", "part": {"type": "text", "text": "Hm."}, "item_id": "rs_1", "output_index": 0},
                delta("Rome.", "msg_1", 1),
                last(THOUGHT, message("Rome.")),
            )
        ],
    }
)  # fmt: skip
def test_thoughts_that_are_called_so_too_late_for_the_stream_are_no_answer(upstream: Upstream, replay: Replay) -> None:
    heard = ask(upstream, replay)
    assert heard.answer.text == "Rome."
    assert heard.streamed == "Hm.\n\nRome."


def test_items_that_share_a_name_with_a_message_do_not_take_its_text(upstream: Upstream) -> None:
    heard = ask(upstream, stream(delta("Rome.", "x", 0), last({**THOUGHT, "id": "x"}, message("Rome.", id="x"))))
    assert heard.streamed == heard.answer.text == "Rome."


@pytest.mark.parametrize("item", [TOOL_CALL, THOUGHT])
def test_an_item_that_has_the_id_of_a_message_that_ended_does_not_take_its_text(
    upstream: Upstream, item: dict[str, Any]
) -> None:
    rome = message("Rome.", id="")
    heard = ask(
        upstream, stream(added(rome, 0), delta("Rome.", "", 0), ended(rome, 0), ended({**item, "id": ""}, 1), last())
    )
    assert heard.streamed == heard.answer.text == "Rome."


def test_phases_that_come_too_late_for_the_stream_still_decide(upstream: Upstream) -> None:
    events = [delta("Looking at the map. ", "a", 0), delta("Rome.", "b", 1), last(COMMENTARY, FINAL)]
    heard = ask(upstream, stream(*events))
    assert heard.answer.text == "Rome."
    assert heard.streamed == "Looking at the map. \n\nRome."


GRADE = '{"grade": "good", "points": 3}'


@replays(
    {
        "alone": both_forms(message(GRADE)),
        "after a message of words": [
            *both_forms(message("Here it comes."), message(GRADE)),
            stream(delta("Here it comes.", "a"), delta(GRADE, "b"), last()),
        ],
        "before one": both_forms(message(GRADE), message("That was it.")),
        "the last of two": both_forms(message('{"grade": "draft"}'), message(GRADE)),
        "after commentary": both_forms(
            {**COMMENTARY, "content": '{"grade": "draft"}'}, message(GRADE, phase="final_answer")
        ),
        "in a fence": [
            *both_forms(message(f"```json\n{GRADE}\n```")),
            *both_forms(message(f"\n```\n{GRADE}\n```\n")),
            *both_forms(message(f"```JSON\r\n{GRADE}```")),
            stream(delta("```js"), delta(f"on\n{GRADE}"), delta("\n```"), last()),
            *both_forms(message(f"~~~json\n{GRADE}\n~~~")),
            *both_forms(message(f"````json\n{GRADE}\n````")),
            *both_forms(message(f"```json {GRADE} ```")),
            *both_forms(message(f"```{GRADE}```")),
        ],
    }
)
def test_the_json_that_was_asked_for_is_found(upstream: Upstream, replay: Replay) -> None:
    answer = ask(upstream, replay, output=VERDICT).answer
    assert (answer.text, answer.status) == (GRADE, Status.COMPLETED)


@pytest.mark.parametrize(
    "text",
    [
        "It is good.",
        f"Here:\n```json\n{GRADE}\n```",
        f"```json\n{GRADE}\n```\nThat is it.",
        "```json\n{broken\n```",
        f"```python\n{GRADE}\n```",
        "``````",
        f"```json\n{GRADE}\n~~~",
        f"````json\n{GRADE}\n```",
        f"<think>Hm.</think>{GRADE}",
    ],
)
def test_what_is_not_json_stays_as_it_is(upstream: Upstream, text: str) -> None:
    for replay in both_forms(message(text)):
        assert ask(upstream, replay, output=VERDICT).answer.text == text


def test_a_fence_around_an_answer_that_need_not_be_json_stays(upstream: Upstream) -> None:
    for replay in both_forms(message(f"```json\n{GRADE}\n```")):
        assert ask(upstream, replay).answer.text == f"```json\n{GRADE}\n```"


THINKING = "\n<think>Rome?\nYes.</think>\n\nRome."


@replays(
    {
        "stream": [
            stream(
                *(delta(letter, "msg_1", 0) for letter in THINKING),
                ended(message(THINKING), 0),
                last(message(THINKING)),
            ),
            stream(*(delta(letter) for letter in THINKING), last()),
        ],
        "late": [stream(ended(message(THINKING)), last())],
        "without deltas": both_forms(message(THINKING)),
        "one in each message": [stream(delta("<think>A</think>", "a"), delta(THINKING, "b"), last())],
    }
)
def test_leading_thoughts_are_dropped_if_the_operator_says_so(upstream: Upstream, replay: Replay) -> None:
    stripped, kept = ask(upstream, replay, quirks=STRIP), ask(upstream, replay)
    assert stripped.streamed == stripped.answer.text == "Rome."
    assert kept.answer.text.endswith(THINKING)
    assert kept.streamed == kept.answer.text


def test_thoughts_that_never_end_are_all_there_is(upstream: Upstream) -> None:
    for replay in [stream(delta("<think>Hm, "), delta("hm"), last()), *both_forms(message("<think>Hm, hm"))]:
        answer = ask(upstream, replay, quirks=STRIP).answer
        assert (answer.text, answer.incomplete_reason) == ("", "empty_output")


def test_thoughts_count_beside_json(upstream: Upstream) -> None:
    for replay in both_forms(message(f"<think>Hm.</think>{GRADE}")):
        assert ask(upstream, replay, output=VERDICT, quirks=STRIP).answer.text == GRADE


@pytest.mark.parametrize(
    ("item", "reported", "reasoning_tokens"),
    [(THOUGHT, 0, None), (THOUGHT, 7, 7), (message(""), 0, 0)],
)
def test_no_reasoning_tokens_beside_thoughts_are_unknown(
    upstream: Upstream, item: Any, reported: int, reasoning_tokens: int | None
) -> None:
    usage = {"input_tokens": 31, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": reported}}
    for replay in both_forms(item, message("Rome."), usage=usage):
        assert ask(upstream, replay).answer.usage.reasoning_tokens == reasoning_tokens


@pytest.mark.parametrize(
    "thought",
    [
        ended(THOUGHT, 0),
        {"type": "response.reasoning.delta", "delta": "Hm."},
        {"type": "response.reasoning_content.delta", "delta": "Hm."},
        {"type": "response.reasoning_text.done", "text": "Hm."},
    ],
)
def test_thoughts_that_only_a_stream_shows_are_thoughts(upstream: Upstream, thought: Any) -> None:
    usage = {"input_tokens": 31, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 0}}
    answer = ask(upstream, stream(thought, delta("Rome."), last(usage=usage))).answer
    assert (answer.text, answer.usage.reasoning_tokens) == ("Rome.", None)


def test_thoughts_that_were_dropped_are_thoughts(upstream: Upstream) -> None:
    usage = {"input_tokens": 31, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 0}}
    answer = ask(upstream, stream(delta("<think>Hm.</think>Rome."), last(usage=usage)), quirks=STRIP).answer
    assert (answer.text, answer.usage.reasoning_tokens) == ("Rome.", None)


def test_no_tokens_beside_a_text_are_unknown(upstream: Upstream) -> None:
    for replay in both_forms(message("Rome."), usage={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}):
        assert ask(upstream, replay).answer.usage == Usage()


@pytest.mark.parametrize("size", [1, 3, 7, 4096])
def test_it_does_not_matter_where_the_body_is_cut(upstream: Upstream, size: int) -> None:
    replay = stream(
        added(COMMENTARY, 0), delta("Looking.", "msg_0", 0), added(FINAL, 1), delta("Rö", "msg_1", 1), delta("me.", "msg_1", 1), last()
    )  # fmt: skip
    heard = ask(upstream, replay.in_pieces(size))
    assert heard.streamed == heard.answer.text == "Röme."


@pytest.mark.parametrize("media", ["", "text/plain; charset=utf-8", "application/octet-stream", "application/json"])
def test_a_stream_is_read_whatever_it_is_called(upstream: Upstream, media: str) -> None:
    body = stream(delta("Rome."), last()).body
    for beginning in (
        b"",
        b": hello\n\n",
        b"\n\n",
        b"event: response.created\n",
        b"id: 1\n",
        b"retry: 100\n\n",
        b"\xef\xbb\xbf",
    ):
        for piece_bytes in (0, 1):
            heard = ask(upstream, Replay(beginning + body, media=media, piece_bytes=piece_bytes))
            assert heard.streamed == heard.answer.text == "Rome."


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        ({"status": None}, Status.COMPLETED, None),
        ({"status": "in_progress"}, Status.INCOMPLETE, "unknown"),
        ({"error": {"code": None, "message": ""}}, Status.COMPLETED, None),
        ({"output": None, "output_text": "Rome."}, Status.COMPLETED, None),
    ],
)
def test_a_whole_answer_whose_status_is_odd(
    upstream: Upstream, told: dict[str, Any], status: Status, reason: str | None
) -> None:
    answer = ask(upstream, whole({**response(message("Rome.")), **told})).answer
    assert (answer.text, answer.status, answer.incomplete_reason) == ("Rome.", status, reason)


@pytest.mark.parametrize("media", ["", "text/plain", "text/event-stream"])
def test_a_whole_answer_is_read_whatever_it_is_called(upstream: Upstream, media: str) -> None:
    body = whole(response(message("Rome."))).body
    assert ask(upstream, Replay(b"\n" + body, media=media)).answer.text == "Rome."


@pytest.mark.parametrize("alive", KEEP_ALIVES)
def test_events_that_only_keep_the_connection_say_nothing(upstream: Upstream, alive: bytes) -> None:
    events = [CREATED, delta("Ro", "msg_1", 0), delta("me.", "msg_1", 0), last(message("Rome."))]
    body = alive + b"".join(sse(event).body + alive for event in events)
    for size in (0, 1):
        heard = ask(upstream, Replay(body).in_pieces(size))
        assert heard.streamed == heard.answer.text == "Rome."


def test_the_type_may_stand_in_the_name_of_the_event_only(upstream: Upstream) -> None:
    events = [delta("Ro"), delta("me."), last()]
    lines = [
        f"event: {event['type']}\ndata: {sse({**event, 'type': None}).body.decode().removeprefix('data: ')}"
        for event in events
    ]
    heard = ask(upstream, Replay("".join(lines).encode()))
    assert heard.streamed == heard.answer.text == "Rome."


@pytest.mark.parametrize("letter", ["a", "\\u0061"])
def test_one_event_may_have_the_whole_answer(upstream: Upstream, letter: str) -> None:
    """Two MiB of text, of which each letter may be escaped with six bytes."""
    size = 2 * 1024 * 1024
    text = '"' + letter * size + '"'
    one_delta = sse(f'{{"type": "response.output_text.delta", "delta": {text}}}', last())
    item = f'{{"type": "message", "content": [{{"type": "output_text", "text": {text}}}]}}'
    at_the_end = sse(f'{{"type": "response.completed", "response": {{"status": "completed", "output": [{item}]}}}}')
    for replay in (one_delta, at_the_end):
        assert ask(upstream, replay).answer.text == "a" * size


def test_the_schema_stands_in_the_prompt_if_the_operator_says_so(upstream: Upstream) -> None:
    replay = stream(delta(GRADE), last())
    for quirks in (Quirks(schema_in_prompt=True), Quirks()):
        ask(upstream, replay, quirks=quirks, output=VERDICT)
        ask(upstream, replay, quirks=quirks)
    with_schema, plain, without, plain_too = (call["body"] for call in upstream.calls[-4:])
    assert with_schema["instructions"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert '"grade": {"type": "string"}' in with_schema["instructions"]
    assert with_schema["text"] == without["text"]
    assert plain["instructions"] == without["instructions"] == plain_too["instructions"] == "Be brief."


def test_what_is_sent_is_a_list_of_messages_and_nothing_that_was_not_asked_for(upstream: Upstream) -> None:
    ask(upstream, stream(delta("Rome."), last()))
    body = upstream.calls[-1]["body"]
    assert body.pop("model")
    assert body == {
        "input": [{"role": "user", "content": "Which city?"}],
        "instructions": "Be brief.",
        "store": False,
        "stream": True,
    }
