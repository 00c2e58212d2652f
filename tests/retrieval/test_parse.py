"""Documents of every kind become text in sections; what cannot be read is named."""

import sqlite3
from contextlib import closing

import pytest

from ratchet.core import Chunking
from ratchet.core.errors import DataError
from ratchet.retrieval import passages_of, read_documents
from ratchet.retrieval.parse import read

pytest.importorskip("pypdf")


def sections(path):
    document = read(path)
    return document.title, [(s.heading, s.text) for s in document.sections]


def test_markdown_has_its_headings(tmp_path):
    """The first # is the title; those below nest; a # in a fence is text."""
    (tmp_path / "a.md").write_text(
        "Intro.\n\n# Guide\nHello.\n## Install\nRun it.\n### On Linux\n```\n# a comment\n```\n## Use\nGo.\n"
    )
    assert sections(tmp_path / "a.md") == (
        "Guide",
        [
            ("", "Intro."),
            ("", "Hello."),
            (" › Install".strip(" ›"), "Run it."),
            ("Install › On Linux", "```\n# a comment\n```"),
            ("Use", "Go."),
        ],
    )


def test_html_without_its_scripts(tmp_path):
    """Headings are sections, markup and scripts are gone."""
    (tmp_path / "a.html").write_text(
        "<title>Shop</title><script>var x</script><h2>Returns</h2><p>Within <b>30</b> days.</p><ul><li>One</li><li>Two</li></ul>"
    )
    title, found = sections(tmp_path / "a.html")
    assert title == "Shop"
    assert found[-1][0] == "Returns"
    assert found[-1][1].split() == ["Within", "30", "days.", "-", "One", "-", "Two"]


def test_a_word_document_and_a_pdf(tmp_path):
    """Headings of the one, pages of the other."""
    import docx
    from pypdf import PdfWriter

    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Leave", 1)
    document.add_paragraph("Thirty days a year.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Berlin", "31"
    document.save(tmp_path / "a.docx")
    title, found = sections(tmp_path / "a.docx")
    assert title == "Handbook"
    assert found[0][0] == "Leave"
    assert "Thirty days" in found[0][1]
    assert "Berlin | 31" in found[0][1]
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(tmp_path / "scan.pdf")
    with pytest.raises(DataError, match="holds no text; a scanned document needs OCR"):
        read(tmp_path / "scan.pdf")
    (tmp_path / "text.pdf").write_bytes(pdf_saying("Hello from a page."))
    assert sections(tmp_path / "text.pdf")[1] == [("page 1", "Hello from a page.")]


def test_rows_are_passages_of_their_own(tmp_path):
    """Of a table, a file of JSON lines, and a database."""
    (tmp_path / "a.csv").write_text("name,price\npen,2\nink,7.5\n")
    assert sections(tmp_path / "a.csv")[1] == [("row 1", "name: pen\nprice: 2"), ("row 2", "name: ink\nprice: 7.5")]  # fmt: skip
    (tmp_path / "a.jsonl").write_text('{"q": "why?", "tags": ["a"]}\n\n{"q": "how?"}\n')
    assert sections(tmp_path / "a.jsonl")[1][0] == ("line 1", 'q: why?\ntags: ["a"]')
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE item (name TEXT, raw BLOB); INSERT INTO item VALUES ('pen', x'00')"
        )
    assert sections(tmp_path / "a.sqlite")[1] == [("item 1", "name: pen\nraw: (binary)")]
    assert read(tmp_path / "a.csv").sections[0].meta == {"name": "pen", "price": "2"}


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path):
    """Broken and odd files beside a good one; encodings of old."""
    (tmp_path / "good.txt").write_bytes("Größe".encode("cp1252"))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "broken.docx").write_bytes(b"PK nothing")
    (tmp_path / "broken.sqlite").write_bytes(b"nothing at all" * 100)
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{')
    (tmp_path / "image.png").write_bytes(b"x")
    found = list(read_documents(tmp_path))

    good = [one for one in found if not isinstance(one, str)]
    assert [one.sections[0].text for one in good] == ["a: 1", "Größe"]
    problems = " ".join(one for one in found if isinstance(one, str))
    for name in (
        "broken.pdf",
        "broken.docx",
        "broken.sqlite",
        "empty.md",
        "bad.jsonl, line 2",
        "image.png",
    ):
        assert name in problems
    with pytest.raises(DataError, match="there is no file or folder"):
        list(read_documents(tmp_path / "gone"))
    with pytest.raises(DataError, match="has no documents"):
        list(read_documents(tmp_path / "image.png"))


def pdf_saying(text):
    """Return a PDF of one page, written by hand."""
    stream = f"BT /F1 12 Tf 10 50 Td ({text}) Tj ET"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj{one}endobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 6\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size 6>>\nstartxref\n{len(body)}\n%%EOF\n"
    return (body + end).encode()


@pytest.mark.parametrize(
    ("name", "content", "title", "day"),
    [
        ("a.md", "---\ntitle: Prices\ndate: 2024-05-01\n---\n# Tea\nNine.\n", "Prices", "2024-05-01"),
        ("a.md", "---\nno: yaml: here\n---\n# Tea\nNine.\n", "Tea", None),
        ("2023-11-30 notes.txt", "Nine.", "2023-11-30 notes", "2023-11-30"),
        ("a.html", "<meta property='article:modified_time' content='2022-01-31T10:00'><p>Nine.</p>", "a", "2022-01-31"),
        ("v1.2023.99.txt", "Nine.", "v1.2023.99", None),
    ],
)  # fmt: skip
def test_a_date_is_what_the_document_says(tmp_path, name, content, title, day):
    """Never the file system's: a copy has the same passages."""
    path = tmp_path / name
    path.write_text(content, "utf-8")

    (document,) = read_documents(path)

    assert (document.title, document.date) == (title, day)


def test_a_row_with_a_text_is_that_text(tmp_path):
    """As corpora for search have them: its title and other columns are beside it."""
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": 7, "title": "Tea", "text": "Nine crowns.", "date": "2024-05-01"}\n')

    (passage,) = (p for d in read_documents(path) for p in passages_of(d, Chunking()))

    assert (passage.text, passage.section, passage.date) == ("Nine crowns.", "Tea", "2024-05-01")
    assert passage.meta["id"] == 7
