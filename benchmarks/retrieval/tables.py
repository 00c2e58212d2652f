"""Recall tables of search on real questions, each rung beside the plain pipeline: XQuAD, HotpotQA, Insurellm.

    python benchmarks/retrieval/tables.py                    # writes tables.json
    python benchmarks/retrieval/tables.py --sets insurellm

XQuAD: the 240 paragraphs of its articles, 1,190 questions, in English and in German. HotpotQA: all paragraphs of 250 questions in one
pool, two of them needed for each question. Insurellm: 76 documents, 150 questions; a passage counts where it holds a keyword of the
question. The plain pipeline is windows of 90 words that overlap by 35, searched by meaning alone. Needs `knowledge` and `embed`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from ratchet.answer import Prompt, gather
from ratchet.core import Candidate, Chunking, Example, InputField, MetricSpec, Passage, Roles, Task
from ratchet.ladder.admit import level_of
from ratchet.measure.intervals import t_interval
from ratchet.models import ModelPool
from ratchet.retrieval import Exact, Index, add_documents
from ratchet.store import open_database

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "retrieval"
K = 5
PLAIN = Chunking(by="window", size=90, overlap=35)


async def embedded(pool: ModelPool, texts: Sequence[str]) -> NDArray[np.float32]:
    rows, _ = await pool.embedder("local:minilm").embed(list(texts))
    return rows


async def ranked(
    pool: ModelPool, passages: list[Passage], asked: list[tuple[str, set[str]]], depths: tuple[int, ...], language: str = "english"
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return recall at each depth, MRR, and all-found at the last depth, by way of search; what is needed is named by source."""
    rows = await embedded(pool, [one.searched for one in passages])
    queries = await embedded(pool, [question for question, _ in asked])
    index = Index(passages, Exact(rows), language=language)
    table: dict[str, dict[str, float]] = {}
    for mode in ("lexical", "dense", "hybrid"):
        lines = []
        for (question, needed), vector in zip(asked, queries, strict=True):
            found = [one.passage.source for one in index.search(question, mode=mode, k=max(depths), vector=vector)]  # fmt: skip
            places = [found.index(name) + 1 if name in found else 0 for name in needed]
            first = min((place for place in places if place), default=0)
            recalls = [np.mean([0 < place <= depth for place in places]) for depth in depths]
            lines.append([*recalls, 1 / first if first else 0.0, float(all(places))])
        names = [*(f"recall@{depth}" for depth in depths), "MRR", f"all in {max(depths)}"]
        means = np.array(lines, dtype=float).mean(0)
        table[mode] = dict(zip(names, (round(float(x), 4) for x in means), strict=True))
        print(mode, table[mode], flush=True)
    return table


async def xquad(pool: ModelPool) -> dict[str, object]:
    found: dict[str, object] = {}
    for short, language in (("en", "english"), ("de", "german")):
        articles = json.loads((DATA / "xquad" / f"xquad.{short}.json").read_text("utf-8"))["data"]
        paragraphs = [(a["title"], p) for a in articles for p in a["paragraphs"]]
        passages = [Passage(text=p["context"], title=title, source=str(n)) for n, (title, p) in enumerate(paragraphs)]  # fmt: skip
        asked = [(q["question"], {str(n)}) for n, (_, p) in enumerate(paragraphs) for q in p["qas"]]
        print(f"XQuAD {short}: {len(passages)} paragraphs, {len(asked)} questions", flush=True)
        found[short] = await ranked(pool, passages, asked, (1, 5, 10), language)
    return found


async def hotpotqa(pool: ModelPool) -> dict[str, object]:
    rows = [json.loads(line) for line in (DATA / "hotpotqa" / "questions.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
    passages: dict[str, Passage] = {}
    asked = []
    for row in rows:
        needed = set()
        for context in row["contexts"]:
            passage = Passage(text=context["paragraph_text"], title=context["title"], source=context["title"])  # fmt: skip
            passages.setdefault(passage.source, passage)
            if context["is_supporting"]:
                needed.add(passage.source)
        asked.append((row["question_text"], needed))
    print(f"HotpotQA: {len(passages)} paragraphs, {len(asked)} questions", flush=True)
    return dict(await ranked(pool, list(passages.values()), asked, (2, 5, 10)))


def scored(found: list[str], keywords: list[str]) -> tuple[float, float, float]:
    """Return the share of keywords in the passages, their mean reciprocal rank, and whether all are there."""
    ranks = []
    for word in keywords:
        place = next(
            (n for n, text in enumerate(found, start=1) if word.lower() in text.lower()), 0
        )
        ranks.append(1 / place if place else 0.0)
    held = [rank > 0 for rank in ranks]
    return float(np.mean(held)), float(np.mean(ranks)), float(all(held))


async def insurellm(pool: ModelPool) -> dict[str, object]:
    """Climb rung by rung; each is kept where its share of keywords is proven better, at the level of its place on the ladder."""
    rows = [json.loads(line) for line in (DATA / "insurellm" / "tests.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
    assert pool.engine is not None
    cuts = {
        "plain": PLAIN,
        "headings": Chunking(),
        "small": Chunking(by="sentence", size=60, overlap=15),
        "large": Chunking(by="heading", size=360, overlap=40),
    }
    for name, cut in cuts.items():
        add_documents(pool.engine, name, [DATA / "insurellm" / "knowledge-base"], chunking=cut)
    task = Task(name="i", instructions="Answer.", inputs=(InputField(name="question"),), metric=MetricSpec(name="match"), models=Roles(student="m"))  # fmt: skip
    plain: dict[str, object] = {"knowledge": "plain", "mode": "dense", "k": K}
    rungs: list[tuple[str, dict[str, object]]] = [
        ("plain: windows, by meaning", plain),
        ("by words", {"mode": "lexical"}),
        ("by both", {"mode": "hybrid"}),
        ("cut by headings", {"knowledge": "headings"}),
        ("small passages of sentences", {"knowledge": "small"}),
        ("large passages", {"knowledge": "large"}),
        ("each with those around it", {"around": 1}),
        ("15 passages, shortened to 60 words", {"k": 15, "compressing": {"by": "sentences", "words": 60}}),
        ("ten passages", {"k": 10}),
    ]  # fmt: skip
    champion, best = dict(plain), None
    table: list[dict[str, object]] = []
    for number, (what, change) in enumerate(rungs):
        parts = champion | change
        prompt = Prompt(task, Candidate.model_validate({"model": "m", "user": "{{#each passages}}{{text}}{{/each}}{{question}}", "retrieval": parts}))  # fmt: skip
        lines, words = [], []
        for row in rows:
            example = Example(inputs={"question": row["question"]}, reference=None)
            texts = [one.text for one in (await gather(prompt, example, pool)).passages]
            lines.append(scored(texts, row["keywords"]))
            words.append(sum(len(text.split()) for text in texts))
        figures = np.array(lines)
        entry: dict[str, object] = {
            "rung": what,
            "keywords found": round(float(figures[:, 0].mean()), 4),
            "MRR": round(float(figures[:, 1].mean()), 4),
            "all found": round(float(figures[:, 2].mean()), 4),
            "words shown": round(float(np.mean(words))),
            "by category": {
                category: [round(float(figures[[r["category"] == category for r in rows], c].mean()), 3) for c in (0, 1)]
                for category in sorted({r["category"] for r in rows})
            },
        }  # fmt: skip
        if best is not None:
            gain = t_interval(figures[:, 0] - best, level=level_of(number))
            kept = gain.low > 0
            entry |= {"gain": round(float((figures[:, 0] - best).mean()), 4), "low": round(gain.low, 4), "high": round(gain.high, 4), "kept": kept}  # fmt: skip
        if best is None or entry["kept"]:
            champion, best = parts, figures[:, 0]
        table.append(entry)
        print({k: v for k, v in entry.items() if k != "by category"}, flush=True)
    return {"rungs": table}


SETS = {"xquad": xquad, "hotpotqa": hotpotqa, "insurellm": insurellm}


async def work(names: list[str], keep: Callable[[str, dict[str, object]], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/r.db")
        async with ModelPool(engine=engine) as pool:
            for name in names:
                keep(name, await SETS[name](pool))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--output", type=Path, default=HERE / "tables.json")
    given = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(2, f"there is no {DATA}\n")
    results = json.loads(given.output.read_text("utf-8")) if given.output.is_file() else {}

    def keep(name: str, found: dict[str, object]) -> None:
        results[name] = found
        given.output.write_text(json.dumps(results, indent=1) + "\n")

    asyncio.run(work(given.sets, keep))


if __name__ == "__main__":
    main()
