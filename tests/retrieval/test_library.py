"""Knowledge bases: versions, what is embedded again, and search by words, by meaning and by both."""

import numpy as np
import pytest

from ratchet.core import Candidate, Chunking, Passage
from ratchet.core.errors import DataError, UsageError
from ratchet.models import ModelPool
from ratchet.retrieval import (
    Document,
    Exact,
    Index,
    Library,
    add_documents,
    passages_of,
    pinned,
)
from ratchet.retrieval.parse import Section
from ratchet.store import open_database
from ratchet.store.knowledge import find_knowledge, list_knowledge, load_passages

pytest.importorskip("bm25s")


@pytest.fixture
def docs(tmp_path):
    """Return a folder with two documents."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "cats.md").write_text(
        "# Cats\n## Sleep\nA cat sleeps most of the day.\n## Food\nThey like fish.\n"
    )
    (folder / "money.md").write_text(
        "# Money\nA refund takes five days. Ask the bank about cards.\n"
    )
    return folder


def test_versions_are_immutable_and_only_what_changed_is_new(engine, docs):
    """The same again is the same version; a changed file replaces its own passages, the others stay."""
    first = add_documents(engine, "docs", [docs])
    assert (first.knowledge.version, first.new, first.knowledge.sources) == (1, 3, 2)
    assert add_documents(engine, "docs", [docs]).knowledge == first.knowledge
    (docs / "cats.md").write_text(
        "# Cats\n## Sleep\nA cat sleeps most of the day.\n## Food\nThey like chicken.\n"
    )

    second = add_documents(engine, "docs", [docs / "cats.md"])

    assert (second.knowledge.version, second.new, second.gone) == (2, 1, 1)
    assert second.knowledge.passages == 3
    assert any("fish" in one.text for one in load_passages(engine, first.knowledge))
    assert find_knowledge(engine, "docs") == second.knowledge
    assert find_knowledge(engine, "docs@1") == first.knowledge
    assert [one.version for one in list_knowledge(engine)] == [2, 1]
    fresh = add_documents(
        engine, "docs", [docs / "money.md"], fresh=True, chunking=Chunking(size=5)
    )
    assert (fresh.knowledge.sources, fresh.knowledge.chunking.size) == (1, 5)


@pytest.mark.local
async def test_search_by_words_by_meaning_and_by_both(engine, docs):
    """Words find words, vectors find what is meant; what is embedded stays so."""
    add_documents(engine, "docs", [docs])
    async with ModelPool() as pool:
        library = Library(engine, pool)
        version = find_knowledge(engine, "docs")
        assert await library.embed(version, "local:minilm") == 3
        assert await library.embed(version, "local:minilm") == 0

        async def first(query, mode):
            found = await library.search("docs", query, mode=mode, k=1)
            return found[0].passage.section or found[0].passage.title if found else None

        assert await first("refund", "lexical") == "Money"
        assert await first("getting my cash back", "lexical") is None
        assert await first("getting my cash back", "dense") == "Money"
        assert await first("a kitten that naps", "hybrid") == "Sleep"
        (docs / "new.md").write_text("Dogs bark.")
        add_documents(engine, "docs", [docs / "new.md"])
        assert await library.embed(find_knowledge(engine, "docs"), "local:minilm") == 1


def test_what_is_not_there_is_told(engine, docs, tmp_path):
    """A name that is none, a base that is not there, nothing to read, another way to cut."""
    with pytest.raises(DataError, match="letters, digits"):
        add_documents(engine, "my docs", [docs])
    with pytest.raises(DataError, match="no knowledge base 'docs'; there is none yet"):
        find_knowledge(engine, "docs")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="holds no text"):
        add_documents(engine, "docs", [tmp_path / "empty.txt"])
    add_documents(engine, "docs", [docs])
    with pytest.raises(DataError, match="with --fresh"):
        add_documents(engine, "docs", [docs], chunking=Chunking(size=5))
    with pytest.raises(DataError, match="Did you mean 'docs'"):
        find_knowledge(engine, "doc")


def passages(*texts, **more):
    return [Passage(text=text, source=f"{k}.txt", **more) for k, text in enumerate(texts)]


def test_ranks_are_fused_and_filters_hold():
    """Second in both beats first in one; a filter leaves others out; no word in common finds nothing."""
    found = passages("alpha beta", "alpha", "gamma delta", "beta gamma")
    vectors = np.eye(4, dtype=np.float32)
    index = Index(found, Exact(vectors))
    query = np.array([0.1, 0.7, 0.9, 0.0], dtype=np.float32)

    both = [one.passage.text for one in index.search("alpha", k=4, vector=query)]
    assert both[0] == "alpha"
    assert [f.passage.text for f in index.search("alpha", mode="dense", k=1, vector=query)] == [
        "gamma delta"
    ]
    only = index.search("alpha", mode="lexical", k=4, where={"source": "0.txt"})
    assert [one.passage.text for one in only] == ["alpha beta"]
    assert index.search("omega", mode="lexical") == []
    assert index.search("alpha", mode="lexical", where={"source": "9.txt"}) == []
    assert Index([]).search("alpha", mode="lexical") == []
    with pytest.raises(UsageError, match="needs vectors"):
        Index(found).search("alpha")
    assert len(index.search("alpha " * 10_000, mode="lexical", k=9)) == 2


def test_stop_words_alone_find_nothing():
    """Nor do passages of nothing else break the index."""
    index = Index(passages("the of and", "the cat"))
    assert index.search("of the", mode="lexical") == []
    assert index.search("cat", mode="lexical")[0].passage.text == "the cat"


@pytest.mark.parametrize("by", ["heading", "sentence", "window"])
def test_passages_are_no_longer_than_wanted_and_lose_nothing(by):
    """Every word stands in some passage, in order; passages overlap; rows are never joined."""
    words = " ".join(f"Word{n}{'.' if n % 7 == 6 else ''}" for n in range(300))
    sections = [
        Section("A", words),
        Section("B", "short one."),
        Section("row 1", "x: 1", is_row=True),
    ]
    found = list(passages_of(Document("d.md", "D", sections), Chunking(by=by, size=40, overlap=10)))

    assert max(len(one.text.split()) for one in found) <= 40
    text = " ".join(one.text for one in found)
    assert all(f"Word{n}" in text for n in range(300))
    assert found[-1].text == "x: 1"
    first, second = (set(one.text.split()) for one in found[:2])
    assert 0 < len(first & second) <= 10


def test_a_candidate_names_its_knowledge_by_version(docs, tmp_path):
    """What a name stands for changes; what a candidate is does not. Names that mean something else are refused."""
    engine = open_database(f"sqlite:///{tmp_path / 'p.db'}")
    first = add_documents(engine, "docs", [docs], root=tmp_path).knowledge
    routing = {"choices": {"docs": "a", "none": "b"}, "prompt": "{{query}}"}
    candidate = Candidate(model="m", user="{{passages}}", retrieval={"knowledge": "docs", "routing": routing})  # fmt: skip

    found = pinned(engine, candidate)

    assert found.retrieval.knowledge == first.id
    assert set(found.retrieval.routing.choices) == {first.id, "none"}
    assert pinned(engine, found) == found
    assert all(one.source.startswith("docs/") for one in load_passages(engine, first))
    with pytest.raises(DataError, match="cannot be named 'none'"):
        add_documents(engine, "none", [docs])
    with pytest.raises(DataError, match="no knowledge base 'gone'"):
        pinned(engine, candidate.changed(retrieval={"knowledge": "gone"}))
    engine.dispose()
