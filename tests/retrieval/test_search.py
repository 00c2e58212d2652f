"""Who finds the nearest vectors: all compared, a graph of neighbours, or a server. The same promises hold for each."""

import numpy as np
import pytest

from ratchet.core import Passage
from ratchet.core.errors import StoreError
from ratchet.retrieval import Exact, Graph, Index, Server

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


@pytest.fixture(params=["exact", "graph", "server"])
def index(request, tmp_path, vectors, passages):
    """Return an index over them, by each way."""
    if request.param == "server":
        pytest.importorskip("qdrant_client")
    ways = {
        "exact": lambda: Exact(vectors),
        "graph": lambda: Graph(vectors, tmp_path / "g" / "x.usearch"),
        "server": lambda: Server(":memory:", "ratchet-x", passages, lambda: vectors),
    }
    return Index(passages, ways[request.param]()).ready()


def found(index, vector, **how):
    """Return the texts that are nearest."""
    how = {"mode": "dense", "k": 10, **how}
    return [one.passage.text for one in index.search("word7", vector=vector, **how)]


def test_the_nearest_are_found(index, vectors):
    """98 of 100 of the true ten, with their cosines."""
    true = [{f"word{p}" for p in np.argsort(-(vectors @ v))[:10]} for v in vectors[::60]]
    same = [len(t & set(found(index, v))) for t, v in zip(true, vectors[::60], strict=True)]

    assert np.mean(same) >= 9.8
    near, far = index.search("", mode="dense", k=2, vector=vectors[7])
    assert (near.passage.text, near.score) == ("word7", pytest.approx(1.0, abs=1e-3))
    place = int(far.passage.text[4:])
    assert far.score == pytest.approx(float(vectors[place] @ vectors[7]), abs=1e-2)


def test_a_filter_is_exact(index, vectors):
    """Of three passages all three are found, however far they are; of none none."""
    assert sorted(found(index, vectors[7], where={"rare": True})) == ["word0", "word1", "word2"]
    assert sorted(found(index, vectors[7], where={"rare": "True"}, mode="hybrid", k=2)) < ["word3"]
    assert found(index, vectors[7], where={"rare": "no"}) == []


def test_both_are_fused(index, vectors):
    """The word's passage and the vector's come first."""
    assert set(found(index, vectors[8], mode="hybrid", k=2)) == {"word7", "word8"}


def test_a_graph_is_read_again_and_one_that_does_not_fit_is_made_anew(tmp_path, vectors, passages):
    """The file is named by its content; a half-written or foreign one is never used."""
    path = tmp_path / "x.usearch"
    Graph(vectors, path).ready()
    written = path.stat().st_mtime_ns

    again = Index(passages, Graph(vectors, path)).ready()
    assert path.stat().st_mtime_ns == written
    assert found(again, vectors[9])[0] == "word9"
    fewer = Index(passages[:500], Graph(vectors[:500], path))
    assert found(fewer, vectors[9])[0] == "word9"
    assert path.stat().st_mtime_ns != written


def test_a_server_that_is_not_there_is_named():
    """With its address."""
    pytest.importorskip("qdrant_client")
    with pytest.raises(StoreError, match=r"the search server http://127\.0\.0\.1:9 does not"):
        Server("http://127.0.0.1:9", "x", [], lambda: np.zeros((0, 3), np.float32)).ready()
