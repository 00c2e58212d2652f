"""How good search is on real judgements: SciFact, by words, by meaning and by both, with verdicts between them.

    python benchmarks/retrieval/run.py                  # all three; writes results.json
    python benchmarks/retrieval/run.py --modes lexical  # BM25 alone, seconds

SciFact in BEIR's form: 5,183 abstracts, 300 claims of the test split. Needs the extras `knowledge` and `embed`.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))

from ratchet.core import Passage
from ratchet.measure.ranking import average_precision, ndcg, recall_at, reciprocal_rank
from ratchet.models import ModelPool
from ratchet.retrieval import Exact, Index

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "retrieval" / "scifact"
PUBLISHED = 0.679
"""nDCG@10 of BM25 over title and text as one field, by Anserini."""


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def judgements() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for line in (DATA / "qrels" / "test.tsv").read_text("utf-8").splitlines():
        query, *_, document, grade = line.split()
        if grade.isdecimal():  # not the head of the table
            found.setdefault(query, {})[document] = int(grade)
    return found


async def vectors_of(texts: list[str]) -> NDArray[np.float32]:
    async with ModelPool() as pool:
        rows, _ = await pool.embedder("local:minilm").embed(texts)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--modes", nargs="*", default=["lexical", "dense", "hybrid"])
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(2, f"there is no {DATA}\n")
    passages = [
        Passage(text=row["text"], title=row["title"], source=row["_id"]) for row in lines("corpus.jsonl")
    ]  # fmt: skip
    grades = judgements()
    queries = {row["_id"]: row["text"] for row in lines("queries.jsonl") if row["_id"] in grades}
    started = time.monotonic()
    rows = query_rows = None
    if {"dense", "hybrid"} & set(given.modes):
        rows = asyncio.run(vectors_of([one.searched for one in passages]))
        query_rows = dict(
            zip(queries, asyncio.run(vectors_of(list(queries.values()))), strict=True)
        )
        print(f"embedded in {time.monotonic() - started:.0f} s", flush=True)
    index = Index(passages, None if rows is None else Exact(rows))
    scores: dict[str, NDArray[np.float64]] = {}
    results: dict[str, dict[str, float]] = {}
    for mode in given.modes:
        table, began = [], time.perf_counter()
        for name, text in queries.items():
            found = index.search(
                text, mode=mode, k=100, vector=query_rows[name] if query_rows else None
            )
            ranked = [one.passage.source for one in found]
            mine = grades[name]
            table.append((ndcg(ranked, mine, 10), recall_at(ranked, mine, 10), recall_at(ranked, mine, 100), reciprocal_rank(ranked, mine), average_precision(ranked, mine)))  # fmt: skip
        figures = np.array(table)
        scores[mode] = figures[:, 0]
        results[mode] = dict(zip(("nDCG@10", "recall@10", "recall@100", "MRR", "MAP"), (round(float(x), 4) for x in figures.mean(0)), strict=True))  # fmt: skip
        results[mode]["ms a query"] = round(1000 * (time.perf_counter() - began) / len(queries), 2)
        print(mode, results[mode], flush=True)
    if "lexical" in results:
        print(
            f"BM25 is {results['lexical']['nDCG@10'] - PUBLISHED:+.4f} from the published {PUBLISHED}"
        )
    for mode in ("lexical", "dense"):
        if mode in scores and "hybrid" in scores:
            change = scores["hybrid"] - scores[mode]
            half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / len(change) ** 0.5
            results[f"hybrid against {mode}"] = {"gain": round(float(change.mean()), 4), "low": round(float(change.mean() - half), 4), "high": round(float(change.mean() + half), 4)}  # fmt: skip
            print(f"hybrid against {mode}:", results[f"hybrid against {mode}"])
    given.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
