"""Read Markdown and HTML: headings as sections, code as text, what is only for finding one's way left out."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ratchet.core import Json
from ratchet.retrieval.plain import day_in, text_of
from ratchet.retrieval.sections import TITLE_LONG, Read, SectionBuilder

__all__ = ["read_html", "read_markdown"]

FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
"""What a Markdown file says of itself before its text."""
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")
DATED = ("date", "updated", "modified", "modified_time", "published_time", "published")
"""Names under which a document says its date."""
LEFT_OUT = ("script", "style", "noscript", "template", "nav", "footer", "aside", "svg", "head")
BLOCKS = frozenset(
    (
        *("address", "article", "blockquote", "body", "caption", "dd", "details", "div", "dl"),
        *("dt", "fieldset", "figcaption", "figure", "form", "header", "hr", "html", "legend"),
        *("li", "main", "ol", "option", "p", "pre", "section", "summary", "table", "tbody"),
        *("tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
"""Elements that begin and end a line; all others are within one, and part no words."""


def read_markdown(path: Path) -> Read:
    """Read Markdown; title and date may stand in its front matter."""
    text = text_of(path)
    front = FRONT.match(text)
    said: Json = {}
    if front:
        with suppress(yaml.YAMLError):
            said = yaml.safe_load(front[1])
    if not isinstance(said, dict) or not said:
        builder = _markdown(text)
        return Read(title=builder.title, sections=builder.sections())
    builder = _markdown(text[front.end() :] if front else text)
    day = next((day_in(said[name]) for name in DATED if said.get(name)), None)
    title = str(said.get("title") or builder.title)[:TITLE_LONG]
    return Read(title=title, sections=builder.sections(), date=day)


def _markdown(text: str) -> SectionBuilder:
    """Return the sections of Markdown. A fence ends with as many of its own marks at least, and holds no heading."""
    builder = SectionBuilder()
    fence, lines = "", text.splitlines()
    is_skipped = False
    for place, line in enumerate(lines):
        if is_skipped:  # the line under a heading
            is_skipped = False
            continue
        mark = FENCE.match(line)
        if fence:
            is_end = mark and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if is_end else fence
            builder.line(line)
            continue
        if mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence = mark[1]
            builder.line(line)
            continue
        if found := HEADING.match(line):
            builder.heading(len(found[1]), found[2])
            continue
        under = UNDERLINE.match(lines[place + 1]) if place + 1 < len(lines) else None
        if under and _may_be_underlined(line, lines[place - 1] if place else ""):
            builder.heading(1 if under[1][0] == "=" else 2, line.strip())
            is_skipped = True
            continue
        builder.line(line)
    return builder


def _may_be_underlined(line: str, before: str) -> bool:
    """Return whether a line is a heading if there is a rule below it: one line of words, and no list, table, quotation or code."""
    is_words = bool(line.strip()) and not re.match(r" {4}|\t|\s*([-*+>|]|\d+[.)])", line)
    return is_words and "|" not in line and not before.strip()


def read_html(path: Path) -> Read:
    """Read a page in its own character set: headings as sections, tables and lists in place; scripts and navigation left out."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(path.read_bytes(), "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    said = [
        str(mark.get("content", ""))
        for mark in soup("meta")
        if str(mark.get("property") or mark.get("name") or "").rpartition(":")[2] in DATED
    ]
    for part in soup(LEFT_OUT):
        part.decompose()
    for part in soup(_is_hidden):
        part.decompose()
    page = _Page()
    page.read(soup)
    page.end_line()
    return Read(
        title=title or page.builder.title,
        sections=page.builder.sections(),
        date=next(filter(None, map(day_in, said)), None),
    )


def _is_hidden(tag: Any) -> bool:
    """Return whether an element is not shown, or only leads elsewhere."""
    style = str(tag.get("style") or "").replace(" ", "").lower()
    return (
        tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
        or tag.get("role") in ("navigation", "contentinfo", "search")
        or "display:none" in style
    )


class _Page:
    """Walks through a page, and puts lines under headings."""

    def __init__(self) -> None:
        self.builder = SectionBuilder()
        self._parts: list[str] = []

    def read(self, node: Any) -> None:
        """Take an element and all in it."""
        from bs4.element import Comment, NavigableString, PreformattedString, Tag

        for child in node.children:
            if isinstance(child, Comment | PreformattedString):
                continue
            if isinstance(child, NavigableString):
                self._parts.append(str(child))
            elif isinstance(child, Tag):
                self._take(child)

    def _take(self, tag: Any) -> None:
        name = tag.name
        if name == "br":
            self.end_line()
        elif name == "pre":
            self.end_line()
            for line in tag.get_text().splitlines():
                self.builder.line(line)
        elif re.fullmatch(r"h[1-6]", name):
            self.end_line()
            if heading := " ".join(tag.get_text().split()):
                self.builder.heading(int(name[1]), heading)
        elif name in ("td", "th"):
            if "".join(self._parts).strip():
                self._parts.append(" | ")
            self.read(tag)
        elif name in BLOCKS:
            self.end_line()
            if name == "li":
                self._parts.append("- ")
            self.read(tag)
            self.end_line()
            if name in ("p", "table", "ul", "ol"):
                self.builder.line("")
        else:
            self.read(tag)

    def end_line(self) -> None:
        """Put down what stands in the line."""
        text = " ".join("".join(self._parts).split())
        self._parts.clear()
        if text and text != "-":
            self.builder.line(text)
