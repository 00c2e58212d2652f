"""Read Word documents and presentations in their order: what a reader of the final version sees, tables where they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ratchet.core.errors import DataError
from ratchet.retrieval.plain import day_in
from ratchet.retrieval.sections import Read, Section, SectionBuilder

__all__ = ["read_presentation", "read_word"]

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
GONE = (f"{W}del", f"{W}moveFrom")
"""Tracked: not in the final version."""
AROUND = (f"{W}sdt", f"{W}sdtContent", f"{W}ins", f"{W}moveTo", f"{W}customXml", f"{W}smartTag")
"""What stands around paragraphs and tables."""
NOTE_KINDS = ("separator", "continuationSeparator", "continuationNotice")


def read_word(path: Path) -> Read:
    """Read a Word document: paragraphs under its headings, tables in place, notes at the end.

    Raises: DataError if it is none.
    """
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    try:
        document = docx.Document(str(path))
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no Word document that can be read: {error}") from error
    builder, levels = SectionBuilder(), _heading_levels(document)
    for block in _blocks(document.element.body):
        if block.tag == f"{W}tbl":
            builder.line("")
            for row in _table_rows(block):
                builder.line(row)
            builder.line("")
            continue
        text, level = _paragraph_text(block), _level_of(block, levels)
        if level and text.strip():
            builder.heading(level, text.strip())
        else:
            is_item = block.find(f"{W}pPr/{W}numPr") is not None and bool(text.strip())
            builder.line(f"- {text}" if is_item else text)
    for note in _notes(document):
        builder.line(note)
    day = day_in(document.core_properties.modified or "")
    return Read(title=builder.title, sections=builder.sections(), date=day)


def _blocks(parent: Any) -> Iterator[Any]:
    """Yield paragraphs and tables in their order, out of what may stand around them."""
    for child in parent:
        if child.tag in (f"{W}p", f"{W}tbl"):
            yield child
        elif child.tag in AROUND:
            yield from _blocks(child)


def _paragraph_text(paragraph: Any) -> str:
    """Return the text of a paragraph in its final version, that of links, fields and text boxes too."""
    parts: list[str] = []

    def take(element: Any) -> None:
        for child in element:
            tag = child.tag
            if tag in GONE or tag == f"{W}pPr":
                continue
            if tag == f"{W}t":
                parts.append(child.text or "")
            elif tag == f"{W}tab":
                parts.append("\t")
            elif tag in (f"{W}br", f"{W}cr"):
                parts.append("\n")
            elif tag == f"{W}noBreakHyphen":
                parts.append("-")
            elif isinstance(tag, str) and tag.endswith("}Fallback"):
                continue  # the same once more, for older programs
            elif isinstance(tag, str):
                take(child)

    take(paragraph)
    return "".join(parts)


def _table_rows(table: Any) -> Iterator[str]:
    """Yield the rows of a table, each cell once; what a cell shares with the one above stands there alone."""
    for row in table.iter(f"{W}tr"):
        if next(row.iterancestors(f"{W}tbl")) is not table:
            continue  # of a table in a cell, which is that cell's text
        cells = []
        for cell in row.iter(f"{W}tc"):
            if next(cell.iterancestors(f"{W}tr")) is not row:
                continue
            merged = cell.find(f"{W}tcPr/{W}vMerge")
            if merged is not None and merged.get(f"{W}val") != "restart":
                continue
            cells.append(_cell_text(cell))
        if any(cells):
            yield " | ".join(cells)


def _cell_text(cell: Any) -> str:
    texts = [
        "; ".join(_table_rows(block)) if block.tag == f"{W}tbl" else _paragraph_text(block)
        for block in _blocks(cell)
    ]
    return " ".join(" ".join(texts).split())


def _heading_levels(document: Any) -> dict[str, int]:
    """Return the level of each style that is a heading, or stands on one that is."""
    styles = {style.style_id: style for style in document.styles if style.style_id}

    def level_of(style: Any, depth: int = 0) -> int:
        name = str(style.name or "")
        if name == "Title":
            return 1
        if found := re.fullmatch(r"[Hh]eading (\d)", name):
            return min(6, int(found[1]))
        outline = style.element.find(f"{W}pPr/{W}outlineLvl")
        if outline is not None and (value := int(outline.get(f"{W}val") or 9)) < 6:
            return value + 1
        base = getattr(style, "base_style", None)
        return level_of(base, depth + 1) if base is not None and depth < 20 else 0

    return {name: level for name, style in styles.items() if (level := level_of(style))}


def _level_of(paragraph: Any, levels: dict[str, int]) -> int:
    outline = paragraph.find(f"{W}pPr/{W}outlineLvl")
    if outline is not None and (value := int(outline.get(f"{W}val") or 9)) < 6:
        return value + 1
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    return 0 if style is None else levels.get(str(style.get(f"{W}val")), 0)


def _notes(document: Any) -> Iterator[str]:
    """Yield footnotes and endnotes."""
    from lxml import etree

    for relation in document.part.rels.values():
        if relation.is_external or not relation.reltype.endswith(("/footnotes", "/endnotes")):
            continue
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        root = etree.fromstring(relation.target_part.blob, parser)
        for note in root:
            if note.get(f"{W}type") not in NOTE_KINDS:
                text = " ".join(_paragraph_text(block) for block in _blocks(note)).strip()
                if text:
                    yield text


def read_presentation(path: Path) -> Read:
    """Read a presentation: a section a slide, with its tables and the speaker's notes.

    Raises: DataError if it is none.
    """
    from pptx import Presentation
    from pptx.exc import PackageNotFoundError

    try:
        slides = Presentation(str(path))
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no presentation that can be read: {error}") from error
    sections = []
    for number, slide in enumerate(slides.slides, start=1):
        title = slide.shapes.title
        name = " ".join(title.text_frame.text.split()) if title is not None else ""
        lines = list(_shape_lines(slide.shapes, title))
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame):
            lines += [notes.text] if notes.text.strip() else []
        heading = f"slide {number}" + (f": {name}" if name else "")
        sections.append(Section(heading, "\n".join([*([name] if name else []), *lines])))
    said = slides.core_properties
    return Read(
        title=str(said.title or "").replace("PowerPoint Presentation", ""),
        sections=sections,
        date=day_in(said.modified or ""),
    )


def _shape_lines(shapes: Any, title: Any) -> Iterator[str]:
    """Yield the texts of shapes in their order, those of groups and tables too."""
    for shape in shapes:
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if hasattr(shape, "shapes"):
            yield from _shape_lines(shape.shapes, title)
        elif getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield " | ".join(
                    " ".join(cell.text.split()) for cell in row.cells if not cell.is_spanned
                )
        elif getattr(shape, "has_text_frame", False):
            yield from (p.text for p in shape.text_frame.paragraphs if p.text.strip())
