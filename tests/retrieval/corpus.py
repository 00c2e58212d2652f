"""Sixty small documents with the right text beside each: what a reader sees, under which heading, and what has to be named as left out."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import docx
import openpyxl
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx import Presentation
from pptx.util import Inches

__all__ = ["CASES", "Case", "make_pdf"]

Sections = list[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A document, and what is right."""

    name: str
    content: bytes | Callable[[], bytes]
    wanted: Sections
    """Headings and texts."""
    left_out: tuple[str, ...] = ()
    """Words of what has to be said."""

    def bytes(self) -> bytes:
        """Return the file."""
        return self.content if isinstance(self.content, bytes) else self.content()


def word(build: Callable[[docx.document.Document], None]) -> Callable[[], bytes]:
    """Return what makes a Word document."""

    def make() -> bytes:
        document = docx.Document()
        build(document)
        file = io.BytesIO()
        document.save(file)
        return file.getvalue()

    return make


def added(document: docx.document.Document, xml: str) -> None:
    """Put XML of Word's own at the end of the text."""
    body = document.element.body
    body.insert(len(body) - 1, parse_xml(xml.replace(">", f" {nsdecls('w')}>", 1)))


def headed(document: docx.document.Document) -> None:
    document.add_heading("Trip", 0)
    document.add_heading("Costs", 1)
    document.add_paragraph("Before.")
    table = document.add_table(2, 2)
    for place, text in enumerate(("City", "Price", "Rome", "90")):
        table.cell(place // 2, place % 2).text = text
    document.add_heading("Dates", 1)
    document.add_paragraph("In May.")


def tracked(document: docx.document.Document) -> None:
    added(document, '<w:p><w:r><w:t xml:space="preserve">We pay </w:t></w:r><w:del w:id="1" w:author="a"><w:r><w:delText>ten</w:delText></w:r></w:del><w:ins w:id="2" w:author="a"><w:r><w:t>twelve</w:t></w:r></w:ins><w:r><w:t xml:space="preserve"> euros.</w:t></w:r></w:p>')  # fmt: skip
    added(document, '<w:ins w:id="3" w:author="a"><w:p><w:r><w:t>A new line.</w:t></w:r></w:p></w:ins>')  # fmt: skip


def controlled(document: docx.document.Document) -> None:
    added(document, "<w:sdt><w:sdtContent><w:p><w:r><w:t>Inside a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>")  # fmt: skip
    added(document, '<w:p><w:r><w:t xml:space="preserve">Name: </w:t></w:r><w:sdt><w:sdtContent><w:r><w:t>Ann</w:t></w:r></w:sdtContent></w:sdt></w:p>')  # fmt: skip


def merged_cells(document: docx.document.Document) -> None:
    table = document.add_table(3, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Both"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "Tall"
    table.cell(1, 1).text, table.cell(2, 1).text = "a", "b"


def nested_table(document: docx.document.Document) -> None:
    cell = document.add_table(1, 2).cell(0, 0)
    cell.paragraphs[0].text = "Out"
    inner = cell.add_table(1, 2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "in 1", "in 2"


def own_style(document: docx.document.Document) -> None:
    style = document.styles.add_style("Chapter of mine", 1)
    style.base_style = document.styles["Heading 1"]
    document.add_paragraph("Terms", style=style)
    document.add_paragraph("None.")


def ticks(document: docx.document.Document) -> None:
    document.add_paragraph("```")
    document.add_paragraph("# no heading")
    document.add_heading("Real", 1)
    document.add_paragraph("Text.")


def listed(document: docx.document.Document) -> None:
    document.add_paragraph("Two things:")
    for text in ("one", "two"):
        paragraph = document.add_paragraph(text)
        paragraph._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = 1


def broken_lines(document: docx.document.Document) -> None:
    run = document.add_paragraph("a").add_run()
    run.add_break()
    run.add_tab()
    run.add_text("b")


def slides(build: Callable[[object], None]) -> Callable[[], bytes]:
    """Return what makes a presentation."""

    def make() -> bytes:
        presentation = Presentation()
        build(presentation)
        file = io.BytesIO()
        presentation.save(file)
        return file.getvalue()

    return make


def two_slides(presentation) -> None:
    for title, text in (("Plan", "First this."), ("Costs", "Then that.")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text


def table_and_notes(presentation) -> None:
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "Prices"
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for place, text in enumerate(("City", "Price", "Rome", "90")):
        table.cell(place // 2, place % 2).text = text
    slide.notes_slide.notes_text_frame.text = "Say it slowly."


def grouped(presentation) -> None:
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    box = group.shapes.add_textbox(Inches(1), Inches(1), Inches(2), Inches(1))
    box.text_frame.text = "In a group."


def book(build: Callable[[openpyxl.Workbook], None]) -> Callable[[], bytes]:
    """Return what makes a spreadsheet."""

    def make() -> bytes:
        made = openpyxl.Workbook()
        build(made)
        file = io.BytesIO()
        made.save(file)
        return file.getvalue()

    return make


def two_sheets(made: openpyxl.Workbook) -> None:
    first = made.active
    first.title = "Prices"
    for row in (("City", "Price"), ("Rome", 90), ("Oslo", 120.5)):
        first.append(row)
    other = made.create_sheet("Days")
    for row in (("Day", "Open"), ("Monday", "yes")):
        other.append(row)


def make_pdf(*texts: str) -> bytes:
    """Return a PDF with a page for each text, written by hand; an empty text is a page without any, as of a scan."""
    count = len(texts)
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(count))
    font = 3 + 2 * count
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {count}>>"]
    for place, text in enumerate(texts):
        stream = f"BT /F1 12 Tf 10 50 Td ({text}) Tj ET" if text else "0 0 50 50 re f"
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents {4 + 2 * place} 0 R/Resources<</Font<</F1 {font} 0 R>>>>>>",
            f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        ]
    objects.append("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    body, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj{one}endobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size {size}>>\nstartxref\n{len(body)}\n%%EOF\n"
    return (body + end).encode()


def locked(password: str) -> Callable[[], bytes]:
    """Return what makes a PDF that is encrypted by AES."""

    def make() -> bytes:
        from pypdf import PdfReader, PdfWriter

        writer = PdfWriter(clone_from=PdfReader(io.BytesIO(make_pdf("Secret price 42"))))
        writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
        file = io.BytesIO()
        writer.write(file)
        return file.getvalue()

    return make


def html(body: str, *, head: str = "", charset: str = "utf-8") -> bytes:
    return f"<html><head>{head}</head><body>{body}</body></html>".encode(charset)


def damaged_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types")
        archive.writestr("word/document.xml", "<w:document")
    return file.getvalue()


CASES = [
    # Markdown
    Case("plain.md", b"Only text.\nTwo lines.\n", [("", "Only text.\nTwo lines.")]),
    Case("headings.md", b"# Top\nIntro\n## A\nOne\n### B\nTwo\n", [("", "Intro"), ("A", "One"), ("A \xe2\x80\xba B".encode("latin-1").decode(), "Two")]),
    Case("fence.md", b"## A\n```py\n# code\n```\nAfter\n", [("A", "```py\n# code\n```\nAfter")]),
    Case("long-fence.md", b"## A\n````\n```\n# code\n```\n````\n## B\nText\n", [("A", "````\n```\n# code\n```\n````"), ("B", "Text")]),
    Case("other-fence.md", b"## A\n~~~\n```\n# code\n~~~\n## B\nText\n", [("A", "~~~\n```\n# code\n~~~"), ("B", "Text")]),
    Case("ticks-in-a-line.md", b"## A\n```not a fence``` here\n## B\nText\n", [("A", "```not a fence``` here"), ("B", "Text")]),
    Case("underlined.md", b"Top\n===\n\nIntro\n\nPart\n----\n\nText\n", [("", "Intro"), ("Part", "Text")]),
    Case("rule.md", b"One\nmore\n---\nTwo\n", [("", "One\nmore\n---\nTwo")]),
    Case("table.md", b"## T\n| a | b |\n|---|---|\n| 1 | 2 |\n", [("T", "| a | b |\n|---|---|\n| 1 | 2 |")]),
    Case("front.md", b"---\ntitle: Shop\n---\n## A\nText\n", [("A", "Text")]),
    Case("hash-no-heading.md", b"#hashtag is text\n", [("", "#hashtag is text")]),
    Case("empty.md", b" \n\n", [], ("empty.md holds no text",)),
    # text
    Case("utf8.txt", "Größe".encode(), [("", "Größe")]),
    Case("mark.txt", "\ufeffGröße".encode(), [("", "Größe")]),
    Case("utf16.txt", "Größe".encode("utf-16"), [("", "Größe")]),
    Case("old.txt", "Größe für Öl".encode("cp1252"), [("", "Größe für Öl")]),
    Case("one-bad-byte.txt", "Größe für Öl, überall müde Füße".encode() + b"\xff" + b" end." * 40, [("", "Größe für Öl, überall müde Füße\ufffd" + " end." * 40)]),
    # HTML
    Case("inline.html", html("<p>H<sub>2</sub>O is un<em>believ</em>able.</p>"), [("", "H2O is unbelievable.")]),
    Case("blocks.html", html("<p>One</p><p>Two</p><div>Three<div>Four</div></div>"), [("", "One\n\nTwo\n\nThree\nFour")]),
    Case("latin.html", html("<p>Größe</p>", head='<meta charset="iso-8859-1">', charset="latin-1"), [("", "Größe")]),
    Case("sjis.html", html("<p>東京タワー</p>", head='<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS">', charset="shift_jis"), [("", "東京タワー")]),
    Case("koi8.html", html("<p>Цена</p>", head='<meta charset="koi8-r">', charset="koi8-r"), [("", "Цена")]),
    Case("navigation.html", html("<nav>Home About</nav><header>Shop</header><main><h2>Tea</h2><p>Nine.</p></main><aside>Ads</aside><footer>Imprint</footer>"), [("", "Shop"), ("Tea", "Nine.")]),
    Case("hidden.html", html("<p hidden>no</p><p style='display: none'>no</p><div aria-hidden='true'>no</div><div role='navigation'>no</div><p>yes</p>"), [("", "yes")]),
    Case("code.html", html("<h2>Use</h2><pre># not a heading\nrun</pre>"), [("Use", "# not a heading\nrun")]),
    Case("table.html", html("<table><tr><th>City</th><th>Price</th></tr><tr><td>Rome</td><td>9<b>0</b></td></tr></table>"), [("", "City | Price\nRome | 90")]),
    Case("list.html", html("<ul><li>One</li><li>Two <ul><li>Deep</li></ul></li></ul>"), [("", "- One\n- Two\n- Deep")]),
    Case("break.html", html("<p>One<br>Two</p>"), [("", "One\nTwo")]),
    Case("entities.html", html("<p>Tea &amp; caf&eacute; &lt;b&gt; 5&nbsp;&euro;</p>"), [("", "Tea & café <b> 5 €")]),
    Case("comment.html", html("<!-- no --><p>yes</p><script>no()</script><style>no</style>"), [("", "yes")]),
    # Word
    Case("headings.docx", word(headed), [("Costs", "Before.\n\nCity | Price\nRome | 90"), ("Dates", "In May.")]),
    Case("tracked.docx", word(tracked), [("", "We pay twelve euros.\nA new line.")]),
    Case("controls.docx", word(controlled), [("", "Inside a control.\nName: Ann")]),
    Case("merged.docx", word(merged_cells), [("", "Both\nTall | a\nb")]),
    Case("nested.docx", word(nested_table), [("", "Out in 1 | in 2 | ")]),
    Case("style.docx", word(own_style), [("", "None.")]),
    Case("ticks.docx", word(ticks), [("", "```\n# no heading"), ("", "Text.")]),
    Case("list.docx", word(listed), [("", "Two things:\n- one\n- two")]),
    Case("lines.docx", word(broken_lines), [("", "a\n\tb")]),
    Case("damaged.docx", damaged_zip(), [], ("damaged.docx",)),
    # PDF
    Case("text.pdf", make_pdf("Hello there"), [("page 1", "Hello there")]),
    Case("scan-inside.pdf", make_pdf("One", "", "Three"), [("page 1", "One"), ("page 3", "Three")], ("page 2 of 3, has no text: a scan",)),
    Case("scan.pdf", make_pdf("", ""), [], ("scan.pdf holds no text; a scanned document needs OCR",)),
    Case("aes-open.pdf", locked(""), [("page 1", "Secret price 42")]),
    Case("aes-locked.pdf", locked("tea"), [], ("aes-locked.pdf is locked with a password",)),
    Case("cut.pdf", make_pdf("Hello")[:60], [], ("cut.pdf",)),
    # presentations and spreadsheets
    Case("plan.pptx", slides(two_slides), [("slide 1: Plan", "Plan\nFirst this."), ("slide 2: Costs", "Costs\nThen that.")]),
    Case("notes.pptx", slides(table_and_notes), [("slide 1: Prices", "Prices\nCity | Price\nRome | 90\nSay it slowly.")]),
    Case("group.pptx", slides(grouped), [("slide 1", "In a group.")]),
    Case("damaged.pptx", b"PK\x03\x04 nothing", [], ("damaged.pptx",)),
    Case("prices.xlsx", book(two_sheets), [("Prices, row 1", "City: Rome\nPrice: 90"), ("Prices, row 2", "City: Oslo\nPrice: 120.5"), ("Days, row 1", "Day: Monday\nOpen: yes")]),
    # tables and JSON
    Case("semicolons.csv", "Stadt;Preis\nKöln;1,5\n".encode(), [("row 1", "Stadt: Köln\nPreis: 1,5")]),
    Case("TABS.TSV", b"city\tprice\nRome\t9\n", [("row 1", "city: Rome\nprice: 9")]),
    Case("lines.csv", b'name,text\na,"one\ntwo"\n', [("row 1", "one\ntwo")]),
    Case("separator.jsonl", '{"text": "one\u2028two"}\n'.encode(), [("line 1", "one\u2028two")]),
    Case("long.csv", b"a,b\n" + b"x" * 140_000 + b",2\n", [("row 1", "a: " + "x" * 140_000 + "\nb: 2")]),
    Case("bad-line.jsonl", b'{"a": 1}\n{\n{"a": 2}\n', [("line 1", "a: 1"), ("line 3", "a: 2")], ("line 2",)),
    Case("rows.json", b'[{"q": "why"}, {"q": "how"}]', [("row 1", "q: why"), ("row 2", "q: how")]),
    Case("value.json", b'"only a text"', [("", '"only a text"')]),
    Case("old.doc", b"\xd0\xcf\x11\xe0", [], ("old.doc: .doc is not read; save it as .docx",)),
]  # fmt: skip
"""Sixty."""
