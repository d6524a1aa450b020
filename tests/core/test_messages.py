"""Messages, as values and as JSON."""

from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.messages import Message, Role, TextPart, dump_messages, load_messages, text_of, to_plain

texts = st.text(st.characters(exclude_categories=["Cs"]))
messages = st.lists(
    st.builds(Message, st.sampled_from(Role), st.lists(st.builds(TextPart, texts), min_size=1).map(tuple))
).map(tuple)


@given(messages)
def test_they_come_back_from_json_as_they_were(made: tuple[Message, ...]) -> None:
    assert load_messages(dump_messages(made)) == made


def test_their_json_names_role_and_kind_of_each_part() -> None:
    made = (Message.of(Role.SYSTEM, "Be brief."), Message.of(Role.USER, "Hello"))
    assert to_plain(made)[1] == {"role": "user", "parts": [{"type": "text", "text": "Hello"}]}


def test_the_text_of_a_role_is_all_of_its_text() -> None:
    parts = (TextPart("a"), TextPart("b"))
    made = (Message(Role.USER, parts), Message.of(Role.USER, "c"))
    assert text_of(made, Role.USER) == "ab\n\nc"
    assert text_of(made, Role.SYSTEM) == ""
