"""Server-sent events, read as they come: lines end with CR, LF or both; several data lines of one event are joined."""

from typing import NamedTuple

__all__ = ["EventReader", "ServerEvent"]

MARK = b"\xef\xbb\xbf"
"""The byte order mark that a stream may begin with."""


class ServerEvent(NamedTuple):
    """One event of a stream."""

    name: str
    """Empty where the stream gives none."""
    data: bytes


class EventReader:
    """Turns the bytes of a stream into events; comments and unknown fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_first = True
        self._ended_with_cr = False
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take a piece of the stream, and return the events that it completes."""
        self._rest += piece
        if self._is_first:
            if len(self._rest) < len(MARK) and MARK.startswith(self._rest):
                return []
            self._rest, self._is_first = self._rest.removeprefix(MARK), False
        events = []
        while (line := self._next_line()) is not None:
            if event := self._take(line):
                events.append(event)
        return events

    def end(self) -> list[ServerEvent]:
        """Return what is left once the stream has ended: an event needs no empty line at the very end."""
        rest, self._rest = self._rest, b""
        return [event for line in (rest, b"") if (event := self._take(line))]

    def _next_line(self) -> bytes | None:
        if self._ended_with_cr and self._rest:  # a line feed right after it is the same end
            self._rest, self._ended_with_cr = self._rest.removeprefix(b"\n"), False
        ends = [place for mark in (b"\n", b"\r") if (place := self._rest.find(mark)) >= 0]
        if not ends:
            return None
        end = min(ends)
        self._ended_with_cr = self._rest[end : end + 1] == b"\r"
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        return line

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "", []
            return ServerEvent(name, b"\n".join(data)) if data else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None
