"""Read PDF files, a section a page; a page without text is named, as it is a scan."""

from collections.abc import Mapping
from pathlib import Path

from ratchet.core.errors import DataError
from ratchet.retrieval.plain import day_in
from ratchet.retrieval.sections import Read, Section

__all__ = ["read_pdf"]


def read_pdf(path: Path) -> Read:
    """Read a PDF.

    Raises: DataError if it is none, or locked with a password.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError(f"{path} is locked with a password; save it without one")
        count = len(reader.pages)
        said: Mapping[str, object] = reader.metadata or {}
    except (PyPdfError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is no PDF that can be read: {error}") from error
    sections, left_out = [], []
    for number in range(1, count + 1):
        try:
            text = reader.pages[number - 1].extract_text()
        except Exception as error:  # noqa: BLE001 - a damaged page may raise anything
            left_out.append(f"{path}, page {number} of {count}, cannot be read: {error!r:.200}")
            continue
        if text.strip():
            sections.append(Section(f"page {number}", text))
        else:
            left_out.append(
                f"{path}, page {number} of {count}, has no text: a scan needs OCR first"
            )
    if not sections and left_out:
        scans = "holds no text; a scanned document needs OCR first"
        is_scan = all("no text" in one for one in left_out)
        raise DataError(f"{path} {scans}" if is_scan else left_out[0])
    title = str(said.get("/Title") or "")
    day = day_in(said.get("/ModDate") or said.get("/CreationDate") or "")
    return Read(title=title, sections=sections, date=day, left_out=tuple(left_out))
