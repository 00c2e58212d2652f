"""Many passages are searched through a graph of neighbours, which is kept."""

import numpy as np
import pytest

from ratchet.core import Passage
from ratchet.retrieval import Index

pytest.importorskip("usearch")
pytest.importorskip("bm25s")


@pytest.fixture(scope="module")
def vectors():
    """Return vectors of length 1 in clusters, as texts have them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 32))
    rows = centres[rng.integers(0, 40, 3000)] + 0.7 * rng.normal(size=(3000, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def passages():
    """Return as many passages."""
    return [Passage(text=f"word{n}", meta={"half": n % 2, "rare": n < 3}) for n in range(3000)]


def found(index, vector, **how):
    """Return the texts that are nearest."""
    how = {"mode": "dense", "k": 10, **how}
    return [one.passage.text for one in index.search("word7", vector=vector, **how)]


def test_a_graph_finds_what_comparing_all_finds(tmp_path, vectors, passages):
    """Nearly: 98 of 100 of the true ten; a filter is exact."""
    every = Index(passages, vectors)
    graph = Index(passages, vectors, graph=tmp_path / "g" / "x.usearch", exact=100).ready()
    same = [len(set(found(every, v)) & set(found(graph, v))) for v in vectors[::60]]

    assert (tmp_path / "g" / "x.usearch").is_file()
    assert np.mean(same) >= 9.8
    assert found(graph, vectors[7])[0] == "word7"
    assert sorted(found(graph, vectors[7], where={"rare": True})) == ["word0", "word1", "word2"]
    assert found(graph, vectors[8], mode="hybrid")[0] in ("word7", "word8")
    near, far = graph.search("", mode="dense", k=2, vector=vectors[7])
    assert near.score == pytest.approx(1.0, abs=1e-3)
    assert far.score == pytest.approx(
        float(vectors[int(far.passage.text[4:])] @ vectors[7]), abs=1e-2
    )


def test_a_graph_is_read_again_and_one_that_does_not_fit_is_made_anew(tmp_path, vectors, passages):
    """The file is named by its content; a half-written or foreign one is never used."""
    path = tmp_path / "x.usearch"
    Index(passages, vectors, graph=path, exact=100).ready()
    written = path.stat().st_mtime_ns

    again = Index(passages, vectors, graph=path, exact=100).ready()
    assert path.stat().st_mtime_ns == written
    assert found(again, vectors[9])[0] == "word9"
    fewer = Index(passages[:500], vectors[:500], graph=path, exact=100)
    assert found(fewer, vectors[9])[0] == "word9"
    assert path.stat().st_mtime_ns != written
