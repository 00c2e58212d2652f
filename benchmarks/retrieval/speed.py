"""How fast search is, side by side in one run: by words beside bm25s by hand, by vectors beside numpy, updates beside a rebuild.

    python benchmarks/retrieval/speed.py      # a few minutes; writes speed.json

20,000 passages made of SciFact's sentences; 200,000 vectors of 384 dimensions in clusters; one document of a hundred changed.
Needs the extras `knowledge` and `embed`.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bm25s
import numpy as np
import Stemmer

sys.path.insert(0, str(Path(__file__).parents[2]))

from ratchet.core import Passage
from ratchet.models import ModelPool
from ratchet.retrieval import Exact, Graph, Index, Library, add_documents
from ratchet.retrieval.search import K1, WORD, B
from ratchet.store import open_database

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "retrieval" / "scifact"
PASSAGES, VECTORS, DIMENSIONS = 20_000, 200_000, 384
QUERIES = 300
DOCUMENTS = 200


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def by_words() -> dict[str, float]:
    """Return seconds to index and milliseconds a query, ours and by hand, in turns."""
    sentences = [s for row in lines("corpus.jsonl") for s in row["text"].split(". ") if s]
    texts = (sentences * (1 + PASSAGES // len(sentences)))[:PASSAGES]
    queries = [row["text"] for row in lines("queries.jsonl")][:QUERIES]
    stemmer = Stemmer.Stemmer("english")

    def words(some: list[str]) -> list[list[str]]:
        found: list[list[str]] = bm25s.tokenize(some, stopwords="english", stemmer=stemmer, token_pattern=WORD, return_ids=False, show_progress=False)  # fmt: skip
        return found

    hand = bm25s.BM25(method="lucene", k1=K1, b=B)
    indexed = {"by hand": seconds(lambda: hand.index(words(texts), show_progress=False))}
    index = Index([Passage(text=text) for text in texts])
    indexed["ours"] = seconds(index.ready)
    took: dict[str, list[float]] = {"by hand": [], "ours": []}
    for query in queries:
        took["by hand"].append(seconds(lambda q=query: hand.retrieve(words([q]), k=10, show_progress=False)))  # type: ignore[misc]  # fmt: skip
        took["ours"].append(seconds(lambda q=query: index.search(q, mode="lexical", k=10)))  # type: ignore[misc]
    means = {name: 1000 * float(np.mean(values)) for name, values in took.items()}
    return {
        "index s, by hand": round(indexed["by hand"], 2),
        "index s, ours": round(indexed["ours"], 2),
        "ms a query, by hand": round(means["by hand"], 2),
        "ms a query, ours": round(means["ours"], 2),
        "ours is faster by": round(means["by hand"] / means["ours"], 2),
    }


def by_vectors() -> dict[str, float]:
    """Return milliseconds a query over many vectors: compared all, and by the graph; and how many of the true ten it finds."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, DIMENSIONS)).astype(np.float32)

    def made(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        rows = centres[rng.integers(0, 2000, count)]
        rows = rows + 0.8 * rng.normal(size=rows.shape).astype(np.float32)
        unit: np.ndarray[tuple[int, int], np.dtype[np.float32]] = rows / np.linalg.norm(rows, axis=1, keepdims=True)  # fmt: skip
        return unit

    rows, queries = made(VECTORS), made(QUERIES)
    exact = Exact(rows)
    with tempfile.TemporaryDirectory() as folder:
        graph = Graph(rows, Path(folder) / "x.usearch")
        built = seconds(graph.ready)
        again = seconds(Graph(rows, Path(folder) / "x.usearch").ready)
        took: dict[str, list[float]] = {"all": [], "graph": []}
        same = []
        for query in queries:
            found = {}
            for name, near in (("all", exact), ("graph", graph)):
                started = time.perf_counter()
                found[name] = {place for place, _ in near.nearest(query, 10, None, {})}
                took[name].append(time.perf_counter() - started)
            same.append(len(found["all"] & found["graph"]) / 10)
    return {
        "graph built s": round(built, 1),
        "graph read again s": round(again, 3),
        "ms a query, all compared": round(1000 * float(np.mean(took["all"])), 2),
        "ms a query, graph": round(1000 * float(np.mean(took["graph"])), 2),
        "recall@10 of the graph": round(float(np.mean(same)), 4),
    }


def update() -> dict[str, float]:
    """Return seconds to make a knowledge base, and to make its next version with one document of a hundred changed."""
    rows = lines("corpus.jsonl")[:DOCUMENTS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "docs"
        folder.mkdir()
        for row in rows:
            (folder / f"{row['_id']}.md").write_text(f"# {row['title']}\n\n{row['text']}\n")
        engine = open_database(f"sqlite:///{name}/r.db")

        def added() -> None:
            async def embed() -> None:
                async with ModelPool(engine=engine) as pool:
                    await pool.embedder("local:minilm").embed(["warm"])
                    nonlocal started
                    started = time.perf_counter()
                    version = add_documents(engine, "x", [folder]).knowledge
                    await Library(engine, pool).embed(version, "local:minilm")

            asyncio.run(embed())

        started = 0.0
        added()
        whole = time.perf_counter() - started
        for row in rows[::100]:
            (folder / f"{row['_id']}.md").write_text(f"# {row['title']}\n\nNow: {row['text']}\n")
        added()
        part = time.perf_counter() - started
    return {
        "rebuild s": round(whole, 2),
        "update s": round(part, 2),
        "share": round(part / whole, 4),
    }


def main() -> None:
    results = {}
    for name, work in (("by words", by_words), ("by vectors", by_vectors), ("update", update)):
        results[name] = work()
        print(name, results[name], flush=True)
        (HERE / "speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
