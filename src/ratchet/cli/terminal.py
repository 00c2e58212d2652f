"""The terminal: how wide it is, and tables that stay readable where it is narrow.

A table that has room is set in columns. Where its figures or names would have to be cut, each row is written under its own
heading instead, as `head value` pairs over as many lines as they need, so that nothing is lost at any width.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

__all__ = ["Table", "Terminal"]

PIPED_WIDTH = 120
"""Columns where the output is no terminal, and `COLUMNS` names no width."""
_NAME_WIDTH = 24
"""A column of text gets at least so many columns, or what its longest cell takes."""
_MAX_WORD_WIDTH = 40
"""A longer word may be folded."""
_INDENT = 2
_HANGING = 4
"""So far in stand the lines of a text after its first."""
_GAP = "   "
_EMPTY = ("", "—")
"""Cells that are left out where a row stands under its own heading."""


class Terminal(Console):
    """A stream to print on, as wide as `COLUMNS` says, else as its terminal is, else 120 columns.

    The width is read each time something is printed. `NO_COLOR` leaves colours out, as with every Rich console.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """Return width and height in characters."""
        columns = os.environ.get("COLUMNS", "")
        known = super().size
        if columns.isascii() and columns.isdigit() and int(columns) > 0:
            return ConsoleDimensions(int(columns), known.height)
        return known if self.file.isatty() else ConsoleDimensions(PIPED_WIDTH, known.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


class Table(RichTable):
    """A table that is set in columns where they have room, and else row by row.

    Args:
        title: Stands above it.
        lead: So many of the first columns head a row where it is written row by row; by default all up to the first that has a
            name and is set to the left.
        options: As for Rich's table.
    """

    def __init__(
        self, *headers: str, title: str | None = None, lead: int | None = None, **options: Any
    ) -> None:
        super().__init__(*headers, title=title, **options)
        self.lead = lead

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table as it fits."""
        cells = [[_text_of(console, cell) for cell in column.cells] for column in self.columns]
        if not self.show_header or not self.columns or not self.row_count:
            yield from super().__rich_console__(console, options)
            return
        widths = self._column_widths(console, cells, options.max_width)
        if widths is None:
            yield from self._stacked(console, cells, options.max_width)
            return
        fitted = copy(self)
        fitted.columns = [copy(column) for column in self.columns]
        for column, width in zip(fitted.columns, widths, strict=True):
            column.width, column.no_wrap = width, False
        yield from RichTable.__rich_console__(fitted, console, options)

    def _column_widths(
        self, console: Console, cells: Sequence[Sequence[Text]], width: int
    ) -> list[int] | None:
        """Return the width of each column without padding; None where they do not fit."""
        least, most = [], []
        for column, texts in zip(self.columns, cells, strict=True):
            head = _text_of(console, column.header)
            longest = max((_line_width(text) for text in texts), default=0)
            if column.max_width is not None:
                longest = min(longest, column.max_width)
            words = max(map(_word_width, (head, *texts)))
            is_whole = column.justify == "right" or column.no_wrap
            text_width = max(min(words, _MAX_WORD_WIDTH), min(longest, _NAME_WIDTH))
            least.append(max(longest, _word_width(head)) if is_whole else text_width)
            most.append(max(longest, _line_width(head), least[-1]))
        padding = sum(map(self._get_padding_width, range(len(self.columns))))
        room = width - padding - self._extra_width - sum(least)
        return None if room < 0 else _filled(least, most, room)

    def _stacked(
        self, console: Console, cells: Sequence[Sequence[Text]], width: int
    ) -> Iterator[Text | Padding]:
        """Yield the rows one under another: what heads a row, then its other cells, each with the head of its column."""
        heads = [_text_of(console, column.header) for column in self.columns]
        lead = self._lead(heads)
        if self.title:
            yield _titled(console, self.title, "table.title")
        for row in zip(*cells, strict=True):
            yield Text()
            if heading := _joined(row[:lead], "  ", "bold"):
                yield from _wrapped(console, heading, 0, width)
            pairs = [
                _joined([Text(head.plain, "dim"), cell] if head.plain else [cell], " ")
                for head, cell in zip(heads[lead:], row[lead:], strict=True)
                if cell.plain.strip() not in _EMPTY
            ]
            for line in _packed(pairs, width - _INDENT):
                yield from _wrapped(console, line, _INDENT, width)
        if self.caption:
            yield Text()
            yield _titled(console, self.caption, "table.caption")

    def _lead(self, heads: Sequence[Text]) -> int:
        if self.lead is not None:
            return self.lead
        named = (
            place
            for place, (head, column) in enumerate(zip(heads, self.columns, strict=True), 1)
            if head.plain and column.justify == "left"
        )
        return next(named, 1)


def _text_of(console: Console, cell: object) -> Text:
    if isinstance(cell, Text):
        return cell
    return console.render_str(str(cell), highlight=False)


def _titled(console: Console, title: object, style: str) -> Text:
    text = _text_of(console, title).copy()
    text.stylize_before(style)
    return text


def _line_width(text: Text) -> int:
    return max((line.cell_len for line in text.split()), default=0)


def _word_width(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def _filled(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Return widths from `least` up to `most`, with `room` columns dealt out one at a time to the narrowest that wants more."""
    widths = list(least)
    while room > 0:
        wanting = [place for place, width in enumerate(widths) if width < most[place]]
        if not wanting:
            break
        widths[min(wanting, key=lambda place: widths[place])] += 1
        room -= 1
    return widths


def _joined(texts: Iterable[Text], between: str, style: str = "") -> Text:
    shown = [text for text in texts if text.plain.strip()]
    joined = Text(between).join(shown)
    joined.stylize_before(style)
    return joined


def _packed(pairs: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield lines of as many pairs as fit; a pair that is too long for a line, or has several, gets lines of its own."""
    line: list[Text] = []
    for pair in pairs:
        is_long = "\n" in pair.plain or pair.cell_len > width
        if line and (is_long or Text(_GAP).join([*line, pair]).cell_len > width):
            yield Text(_GAP).join(line)
            line = []
        if is_long:
            yield pair
        else:
            line.append(pair)
    if line:
        yield Text(_GAP).join(line)


def _wrapped(console: Console, text: Text, indent: int, width: int) -> Iterator[Padding]:
    """Yield a text line by line, each at most `width` wide; all but the first stand a little further in."""
    room = max(1, width - indent - _HANGING)
    is_short = "\n" not in text.plain and text.cell_len <= width - indent
    for number, line in enumerate([text] if is_short else text.wrap(console, room)):
        line.rstrip()
        yield Padding(line, (0, 0, 0, indent + (_HANGING if number else 0)), expand=False)
