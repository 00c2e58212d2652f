"""Rankings against judgements: what counts as a document, whatever the judgements name."""

from ratchet.core import Passage
from ratchet.measure.ranking import precision
from ratchet.measure.search import JudgedQuery, documents_of, names_whole_documents
from ratchet.retrieval import Found


def row(number, *, source="abstracts.jsonl", title=""):
    """Return the passage of a row of a table."""
    section = title or f"row {number}"
    return Found(
        Passage(
            text=f"text {number}",
            source=source,
            title="abstracts",
            section=section,
            meta={"id": str(number)},
        ),
        1.0 / number,
    )


def part(source, section, text="x"):
    """Return a passage of a section of a document."""
    return Found(Passage(text=text, source=source, title="Handbook", section=section), 1.0)


def test_each_row_is_a_document_whatever_is_relevant():
    """Ten rows of one file, of which the first and the last are relevant: two of ten places, not two of two."""
    found = [row(number) for number in range(1, 11)]
    query = JudgedQuery("q", {"1": 1, "10": 1})

    whole = names_whole_documents([found], [query])
    ranked = documents_of(found, query.grades, whole=whole)

    assert not whole
    assert len(ranked) == 10
    assert (ranked[0], ranked[-1]) == ("1", "10")
    assert precision(ranked, query.grades, 10) == 0.2


def test_rows_without_ids_and_with_equal_titles_are_told_apart_by_their_place():
    """Rows that nobody judged are as many documents as there are rows, also where judgements name titles."""
    found = [row(1, title="Wing"), row(2, title="Flow"), row(3)]

    ranked = documents_of(found, {"Flow": 1}, whole=False)

    assert len(ranked) == 3
    assert ranked[1] == "Flow"


def test_sections_are_documents_where_judgements_name_them():
    """Sections of one file that nobody judged are several documents; pieces of one section are one."""
    found = [part("a.md", "Intro"), part("a.md", "Use"), part("a.md", "Use", "y"), part("a.md", "End")]  # fmt: skip
    query = JudgedQuery("q", {"End": 1})

    whole = names_whole_documents([found], [query])

    assert not whole
    assert documents_of(found, query.grades, whole=whole)[-1] == "End"
    assert len(documents_of(found, query.grades, whole=whole)) == 3


def test_whole_documents_count_once():
    """Where judgements name files, all passages of a file are one document, judged for this query or not."""
    found = [part("docs/a.md", "1"), part("docs/a.md", "2"), part("docs/b.md", "1"), part("docs/b.md", "2")]  # fmt: skip
    queries = [JudgedQuery("q", {"b.md": 1}), JudgedQuery("r", {"a.md": 1})]

    whole = names_whole_documents([found, found], queries)

    assert whole
    assert documents_of(found, queries[0].grades, whole=whole) == ["docs/a.md", "b.md"]
