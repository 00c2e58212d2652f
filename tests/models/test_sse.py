"""Server-sent events, however they are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.models.sse import EventReader, ServerEvent


def read(content: bytes, size: int) -> list[ServerEvent]:
    """Return the events of a stream that comes in pieces of `size` bytes."""
    reader = EventReader()
    events = [
        event
        for start in range(0, len(content), size)
        for event in reader.feed(content[start : start + size])
    ]
    return events + reader.end()


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b'data: {"a":\ndata: 1}\n\n', [("", b'{"a":\n1}')]),
        (b"data: a\r\ndata: b\r\n\r\n", [("", b"a\nb")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [("error", b"a"), ("", b"b")]),
        (b"data:a\n\ndata:  b\n\n", [("", b"a"), ("", b" b")]),
        (b": hello\n\n: again\ndata: a\n\n", [("", b"a")]),
        (b"id: 3\nretry: 9\nodd\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a", [("", b"a")]),
        (b"data: a\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"data\n\n", [("", b"")]),
        (b"", []),
    ],
)
def test_events_are_read_however_their_lines_end(
    content: bytes, events: list[tuple[str, bytes]], size: int
) -> None:
    """LF, CR and CRLF end a line; data lines are joined; comments and other fields are passed over."""
    assert [tuple(event) for event in read(content, size)] == events


def test_an_event_ended_by_carriage_returns_does_not_wait() -> None:
    """An event is handed on with the line end that completes it, also where a line feed might follow."""
    reader = EventReader()

    assert reader.feed(b"data: a\r\r") == [ServerEvent("", b"a")]
    assert reader.feed(b"\ndata: b\r\n\r\n") == [ServerEvent("", b"b")]


@settings(deadline=None)
@given(
    texts=st.lists(st.binary(min_size=1).filter(lambda data: not {10, 13} & set(data)), max_size=5),
    end=st.sampled_from([b"\n", b"\r", b"\r\n"]),
    size=st.integers(1, 9),
)
def test_any_data_comes_through(texts: list[bytes], end: bytes, size: int) -> None:
    """Whatever bytes an event holds and wherever the stream is cut, its data is the same."""
    content = b"".join(b"data: " + text + end + end for text in texts)

    assert [event.data for event in read(content, size)] == texts
