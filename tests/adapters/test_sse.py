from collections.abc import Iterable

import pytest

from llm_service.adapters.providers.sse import MAX_EVENT_BYTES, EventParser, EventTooLarge

STREAM = (
    b': comment\n\nevent: one\ndata: {"a": 1}\n\ndata:two\r\ndata: lines\r\n\r\nevent: x\rdata: \xc3\xa9\r\rid: 3\n\n'
    b"data: last, not ended\n"
)
BOM = b"\xef\xbb\xbf"
EVENTS = [b'{"a": 1}', b"two\nlines", "é".encode()]


def parsed(chunks: Iterable[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("cut", range(len(STREAM)))
def test_events_do_not_depend_on_where_the_chunks_are_cut(cut: int) -> None:
    assert parsed([STREAM[:cut], STREAM[cut:]]) == EVENTS


ALIKE = b"".join(b'event: delta\ndata: {"n": %d}\n\n' % number for number in range(5))
UNNAMED = b"".join(b'data: {"n": %d}\n\n' % number for number in range(6))


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (ALIKE, [b'{"n": %d}' % number for number in range(5)]),
        (UNNAMED, [b'{"n": %d}' % number for number in range(6)]),
        (ALIKE + UNNAMED, [b'{"n": %d}' % number for number in (*range(5), *range(6))]),
        (b"data: a\ndata: b\n\nevent: x\n\ndata: c\n\n", [b"a\nb", b"c"]),
        (b"event: x\ndata: a\n\ndata: b\ndata: c\n\n", [b"a", b"b\nc"]),
        (b"data: a\n\ndata\n\ndata:b\n\n", [b"a", b"", b"b"]),
        (b"event: x\nevent: data: a\n\n", []),
        (b"event: x\ndata: a\n\nevent: y\nid: 1\n\n", [b"a"]),
        (b": data: a\n\ndata: b\n\n", [b"b"]),
    ],
)
def test_events_that_are_alike_are_read_together_and_others_are_not_lost(stream: bytes, data: list[bytes]) -> None:
    for cut in range(len(stream) + 1):
        assert parsed([stream[:cut], stream[cut:]]) == data, cut
    parser = EventParser()
    parser.feed(stream)
    names = [*parser.names()]
    parser = EventParser()
    one_by_one = [name for byte in stream if parser.feed(bytes([byte])) for name in parser.names()]
    assert names == one_by_one


def test_byte_by_byte() -> None:
    assert parsed(bytes([byte]) for byte in STREAM) == EVENTS


def test_a_final_carriage_return_is_a_line_end_when_nothing_follows() -> None:
    parser = EventParser()
    assert [*parser.feed(b"data: a\r\rdata: b\r\r")] == [b"a"]
    assert [*parser.end()] == [b"b"]
    assert [*parser.end()] == []


@pytest.mark.parametrize("cut", range(6))
def test_one_byte_order_mark_at_the_beginning_is_ignored(cut: int) -> None:
    stream = BOM + b"data: a\n\n" + BOM + b"data: b\n\ndata: " + BOM + b"c\n\n"
    assert parsed([stream[:cut], stream[cut:]]) == parsed(bytes([byte]) for byte in stream) == [b"a", BOM + b"c"]
    assert parsed([BOM + BOM + b"data: a\n\n"]) == [], "the second one is part of a name that nobody knows"


@pytest.mark.parametrize("line", [b"x" * (MAX_EVENT_BYTES + 10_000), (b"data: " + b"x" * 1000 + b"\n") * 17_000])
def test_an_endless_event_is_refused(line: bytes) -> None:
    with pytest.raises(EventTooLarge):
        parsed(line[start : start + 65_536] for start in range(0, len(line), 65_536))


def test_what_arrives_together_is_parsed_together() -> None:
    parser = EventParser()
    chunks = [b"data: a\n\ndata: b\n\nda", b"ta: c\n", b"\ndata\ndata: d\n\n"]
    assert [parser.feed(chunk) for chunk in chunks] == [[b"a", b"b"], [], [b"c", b"\nd"]]


def test_names_are_those_of_the_events_that_were_returned() -> None:
    parser = EventParser()
    found = []
    for chunk in (b"event: one\nda", b"ta: a\n\ndata: b\n\nevent: none\n\nevent:", b" two\ndata: c\n\n"):
        found += list(zip(parser.feed(chunk), parser.names(), strict=True))
    assert found == [(b"a", b"event: one"), (b"b", b""), (b"c", b"event: two")]
