"""Cut documents into passages: by heading, by sentence, or by windows of words, with overlap."""

import re
from collections.abc import Iterator

from ratchet.core import Chunking, Passage
from ratchet.retrieval.parse import Document, Section, day_in
from ratchet.retrieval.words import count_words, join_texts, split_words

__all__ = ["passages_of", "sentences"]

THAI_AND_LAO = "\u0e01-\u0eff"

END = re.compile(
    r"(?<=[.!?…])[\"')\]]*\s+(?=[\"'(\[]?[A-ZÀ-Þ0-9])|\n{2,}|\n(?=\s*(?:[-*•]|\d+[.)])\s)"
    r"|(?<=[.!?…؟।॥۔։።])\s+(?=[«“„(]?[\u0370-\u03ff\u0400-\u042f\u0531-\u10ff\u1200-\u1fff\ua000-\ufdff])"
    rf"|(?<=[。！？；｡‼⁇។၊။])[」』”）]?\s*|(?<=[{THAI_AND_LAO}])\s+(?=[{THAI_AND_LAO}])"
)
"""Between sentences, paragraphs and the items of a list. Thai and Lao part sentences by spaces."""


def passages_of(document: Document, chunking: Chunking) -> Iterator[Passage]:
    """Yield the passages of a document, in its order."""
    sections = document.sections
    if chunking.by != "heading":
        sections = merged(sections)
    for section in sections:
        for text in cut(section, chunking):
            yield Passage(
                text=text,
                title=document.title,
                section=section.heading,
                source=document.source,
                date=document.date or day_in(section.meta.get("date", "")),
                meta=section.meta,
            )


def merged(sections: list[Section]) -> list[Section]:
    """Return the sections as one, rows of tables aside."""
    rows = [section for section in sections if section.is_row]
    texts = [
        f"{section.heading.split(' › ')[-1]}\n{section.text}".strip()
        for section in sections
        if not section.is_row
    ]
    return [*([Section("", "\n\n".join(texts))] if texts else []), *rows]


def cut(section: Section, chunking: Chunking) -> Iterator[str]:
    """Yield the texts of a section's passages."""
    if count_words(section.text) <= chunking.size:
        yield section.text.strip()
        return
    if chunking.by == "window":
        step = max(1, chunking.size - chunking.overlap)
        yield from _windows(section.text, chunking.size, step, chunking.overlap)
        return
    yield from packed(list(sentences(section.text, chunking.size)), chunking)


def sentences(text: str, size: int) -> Iterator[str]:
    """Yield the sentences of a text; one that is longer than a passage comes in pieces."""
    for sentence in END.split(text):
        if count_words(sentence) <= size:
            if sentence.strip():
                yield sentence.strip()
        else:
            yield from _windows(sentence, size, size, 0)


def _windows(text: str, size: int, step: int, overlap: int) -> Iterator[str]:
    """Yield so many words of a text at a time, as they stand in it, runs of spaces as one."""
    words = split_words(text)
    for start in range(0, max(1, len(words) - overlap), step):
        some = words[start : start + size]
        if some:
            yield " ".join(text[some[0][0] : some[-1][1]].split())


def packed(parts: list[str], chunking: Chunking) -> Iterator[str]:
    """Yield as many sentences together as fit, the last of each again at the start of the next, up to the overlap."""
    held: list[str] = []
    count = fresh = 0
    for part in parts:
        length = count_words(part)
        if held and count + length > chunking.size:
            yield join_texts(held)
            kept: list[str] = []
            carried = 0
            for sentence in reversed(held):
                more = count_words(sentence)
                if carried + more > chunking.overlap or carried + more + length > chunking.size:
                    break
                kept.insert(0, sentence)
                carried += more
            held, count, fresh = kept, carried, 0
        held.append(part)
        count, fresh = count + length, fresh + 1
    if fresh:
        yield join_texts(held)
