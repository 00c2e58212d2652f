"""The retrieval lever: show each input the passages of a knowledge base that fit it, and find them ever better, rung by rung.

Each rung is a lever of its own, with a race and a verdict of its own, so that each has to pay for itself.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import sqlalchemy as sa
import yaml

from ratchet.answer import Template
from ratchet.answer.nearest import text_of
from ratchet.core import (
    Budget,
    Candidate,
    Chunking,
    Example,
    Knowledge,
    Passage,
    Retrieval,
    content_id,
)
from ratchet.core.errors import DataError, UnknownModelError, UsageError
from ratchet.levers.lever import Evidence, LeverEstimate
from ratchet.models.embed import minilm_folder
from ratchet.retrieval import Index, add_documents
from ratchet.store.knowledge import find_knowledge, list_knowledge, load_passages
from ratchet.tuning.embedding import FEWEST_PAIRS, train_embedding

__all__ = ["QUOTED", "RUNGS", "RetrievalLever", "RetrievalRung", "made_by_people", "shows_passages"]

RetrievalRung = Literal["search", "chunks", "query", "rerank", "shape", "route", "embedding"]
RUNGS: tuple[RetrievalRung, ...] = get_args(RetrievalRung)
TEXTS = Path(__file__).with_name("retrieval.yaml")
CUTS = (
    Chunking(by="sentence", size=60, overlap=15),
    Chunking(by="heading", size=120, overlap=20),
    Chunking(by="heading", size=360, overlap=40),
)
"""Other ways to cut the same documents."""
CLASSES = range(2, 21)
"""A column with so many different values is a class that a query can be about."""
SHORT = 60
"""Words that are left of a passage."""
QUESTIONS = 20
"""Train questions that are shown to belong to a knowledge base, for routing by the nearest."""
TITLES = 12
"""Titles that tell what is in a knowledge base."""
QUOTED = "{{#each passages}}[{{number}}] {{#if title}}{{title}}: {{/if}}{{text}}\n{{/each}}\n"
"""What stands before the champion's own user template; passages are data, and their text is never read as a template."""
Way = tuple[str, dict[str, object]]
"""What a candidate is in words, and which parts of its retrieval that changes."""


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What a rung starts from."""

    champion: Candidate
    evidence: Evidence
    version: Knowledge


class RetrievalLever:
    """Propose the champion with passages of a knowledge base, or with another way to find them.

    Args:
        knowledge: A knowledge base, as `docs` or `docs@2`; left out, the champion's, else the only one there is.
        rung: `search` (by words, by meaning, by both; how many), `chunks` (the same documents cut otherwise), `query` (a hypothetical
            answer, another wording, several questions), `rerank` (by a model, a cross-encoder, the date), `shape` (neighbours,
            shortened, order, citations), `route` (which knowledge base, which class) or `embedding` (fine-tuned on train questions
            and the passages that they need).
        counts: How many passages.
        embedding: Who tells how near a passage is; without one, words alone.
        helper: Who is asked on the way; left out, the candidate's own model.
        reranker: A cross-encoder, as `local:<folder>`.
    """

    def __init__(
        self,
        knowledge: str | None = None,
        *,
        rung: RetrievalRung = "search",
        counts: tuple[int, ...] = (2, 5),
        embedding: str = "local:minilm",
        helper: str | None = None,
        reranker: str | None = None,
    ) -> None:
        self.name = "retrieval" if rung == "search" else f"retrieval {rung}"
        self._knowledge, self._rung, self._counts = knowledge, rung, counts
        self._embedding, self._helper, self._reranker = embedding, helper, reranker

    async def estimate(self, champion: Candidate, evidence: Evidence) -> LeverEstimate:
        """Return the number of ways; finding passages costs nothing with a local model of embeddings."""
        if self._rung != "search" and champion.retrieval is None:
            note = "once the champion has passages"
            return LeverEstimate(candidates=0, calls=0, cost_usd=0.0, note=note)
        if self._rung == "chunks":
            return LeverEstimate(candidates=len(CUTS), calls=0, cost_usd=0.0)
        if self._rung == "embedding":
            pairs = len(pairs_of(champion, evidence))
            note = f"trains on {pairs} pairs of question and passage"
            return LeverEstimate(candidates=1, calls=0, cost_usd=0.0, note=note)
        count = len(self._ways(champion, evidence))
        return LeverEstimate(candidates=count, calls=0, cost_usd=0.0)

    async def propose(
        self, champion: Candidate, evidence: Evidence, _budget: Budget
    ) -> AsyncIterator[Candidate]:
        """Yield each way once, leaving out those that were tried.

        Raises: UsageError if there is no knowledge base, or several and none is named; DataError if there is none of that name.
        """
        if self._rung != "search" and champion.retrieval is None:
            evidence.say(f"{self.name}: the champion has no passages, so there is nothing to find better")  # fmt: skip
            return
        ways = (
            await self._tuned(champion, evidence)
            if self._rung == "embedding"
            else await asyncio.to_thread(self._ways, champion, evidence)
        )
        for challenger in ways:
            if challenger.id not in evidence.tried:
                yield challenger

    async def _tuned(self, champion: Candidate, evidence: Evidence) -> list[Candidate]:
        """Return the champion with embeddings that were trained on the task's own pairs; where there are too few it is said."""
        retrieval = champion.retrieval
        assert retrieval is not None  # `propose` has looked
        pairs = await asyncio.to_thread(pairs_of, champion, evidence)
        if len(pairs) < FEWEST_PAIRS:
            evidence.say(
                f"{self.name}: {len(pairs)} train examples name a passage that they need, and {FEWEST_PAIRS} are the least; name them with: ratchet import FILE --task {evidence.task.name} --knowledge COLUMN"
            )
            return []
        base = retrieval.embedding
        if not base.startswith("local:"):
            evidence.say(f"{self.name}: {base} cannot be trained here; a local: model can")
            return []
        start = minilm_folder() if base == "local:minilm" else evidence.pool.folder(base)
        folder = evidence.files / "embeddings" / content_id("w", [base, pairs])
        evidence.say(f"{self.name}: training {base} on {len(pairs)} pairs")
        await asyncio.to_thread(train_embedding, pairs, start, folder)
        name = f"local:{os.path.relpath(folder, evidence.root)}"  # noqa: ASYNC240 - it touches no file
        mode = "hybrid" if retrieval.mode == "lexical" else retrieval.mode
        return [
            changed(champion, f"embeddings tuned on {len(pairs)} pairs", embedding=name, mode=mode)
        ]

    def _ways(self, champion: Candidate, evidence: Evidence) -> list[Candidate]:
        looking = Looking(
            champion=champion, evidence=evidence, version=self._version(champion, evidence)
        )
        rungs: dict[str, Callable[[Looking], Iterator[Candidate]]] = {
            "search": self._search,
            "chunks": self._chunks,
            "query": self._query,
            "rerank": self._rerank,
            "shape": self._shape,
            "route": self._route,
        }
        found = {one.id: one for one in rungs[self._rung](looking)}
        return [one for one in found.values() if one.id != champion.id]

    def _search(self, looking: Looking) -> Iterator[Candidate]:
        champion, version = looking.champion, looking.version
        modes: tuple[str, ...] = ("lexical", "dense", "hybrid")
        try:
            looking.evidence.pool.embedder(self._embedding)
        except UnknownModelError as error:
            looking.evidence.say(f"retrieval: by words alone: {error}")
            modes = ("lexical",)
        user = champion.user
        if champion.retrieval is None and not shows_passages(champion):
            user = QUOTED + user
        known = champion.retrieval.model_dump() if champion.retrieval else {}
        for mode in modes:
            for count in self._counts:
                parts = {"knowledge": version.id, "k": count, "mode": mode, "embedding": self._embedding}  # fmt: skip
                yield champion.changed(
                    retrieval=Retrieval.model_validate({**known, **parts}),
                    user=user,
                    note=f"{count} passages of {version.name}@{version.version}, {mode}",
                )

    def _chunks(self, looking: Looking) -> Iterator[Candidate]:
        """Yield the champion on the same documents cut otherwise; they are read again from their files."""
        engine, version = engine_of(looking.evidence), looking.version
        paths = sorted({Path(one.source) for one in load_passages(engine, version)})
        where = [path if path.is_absolute() else looking.evidence.root / path for path in paths]
        gone = next((path for path in where if not path.is_file()), None)
        if gone:
            looking.evidence.say(f"{self.name}: {gone} is not there any more, so the documents cannot be cut anew")  # fmt: skip
            return
        for cut in CUTS:
            if cut == version.chunking:
                continue
            name = f"{version.cut_from or version.name}-{cut.by}-{cut.size}"
            try:
                made = add_documents(
                    engine,
                    name,
                    where,
                    chunking=cut,
                    fresh=True,
                    root=looking.evidence.root,
                    cut_from=version.cut_from or version.name,
                ).knowledge
            except DataError as error:
                looking.evidence.say(f"{self.name}: {error}")
                continue
            what = f"passages of {cut.size} words at most, by {cut.by}"
            yield changed(looking.champion, what, knowledge=made.id)

    def _query(self, looking: Looking) -> Iterator[Candidate]:
        written = texts()
        ways: list[Way] = [
            ("a hypothetical answer is searched (HyDE)", {"prompt": written["hypothesis"]}),
            ("the query is rewritten", {"prompt": written["rewrite"]}),
            ("several questions are searched and merged", {"prompt": written["expand"], "several": True}),
        ]  # fmt: skip
        for what, parts in ways:
            yield changed(looking.champion, what, rewriting={**parts, "model": self._helper})

    def _rerank(self, looking: Looking) -> Iterator[Candidate]:
        ordered = {"by": "model", "prompt": texts()["rerank"], "model": self._helper, "depth": 10}
        yield changed(looking.champion, "a model orders ten passages", reranking=ordered)
        if self._reranker:
            crossed = {"by": "cross-encoder", "model": self._reranker}
            yield changed(looking.champion, "a cross-encoder orders twenty passages", reranking=crossed)  # fmt: skip
        passages = load_passages(engine_of(looking.evidence), looking.version)
        if len({one.date for one in passages if one.date}) > 1:
            newest = {"by": "newest", "depth": 10}
            yield changed(looking.champion, "the newest of ten passages first", reranking=newest)

    def _shape(self, looking: Looking) -> Iterator[Candidate]:
        champion = looking.champion
        retrieval = champion.retrieval
        assert retrieval is not None  # `propose` has looked
        more = min(100, 3 * retrieval.k)
        yield changed(champion, "each passage with those around it", around=1)
        yield changed(champion, f"{more} passages, each shortened to {SHORT} words", k=more, compressing={"by": "sentences", "words": SHORT})  # fmt: skip
        yield changed(champion, "the best passage last", order="best last")
        shorten = {"by": "model", "prompt": texts()["compress"], "model": self._helper}
        yield changed(champion, "a model shortens each passage", compressing=shorten)
        if looking.evidence.task.answer.kind == "text" and not retrieval.citations:
            cited = changed(champion, "the answer names its passages", citations=True)
            yield cited.changed(system=champion.system + texts()["cite"], note=cited.note)

    def _route(self, looking: Looking) -> Iterator[Candidate]:
        evidence, champion, written = looking.evidence, looking.champion, texts()
        engine = engine_of(evidence)
        newest: dict[str, Knowledge] = {}
        for one in made_by_people(engine):  # the newest of a name first
            newest.setdefault(one.name, one)
        if len(newest) > 1:
            choices = {one.id: described(engine, one) for one in newest.values()}
            by_model = {"choices": choices | {"none": "nothing has to be looked up"}, "prompt": written["route"], "model": self._helper}  # fmt: skip
            yield changed(champion, f"a model chooses among {', '.join(newest)} and none", routing=by_model)  # fmt: skip
            questions = belonging(looking, list(newest.values()))
            by_near = {"choices": choices, "by": "nearest", "questions": questions}
            yield changed(champion, f"the nearest of {', '.join(newest)}", routing=by_near)
        for field in classes(engine, looking.version):
            for by in ("model", "nearest"):
                parts = {"field": field, "by": by, "prompt": written["classify"] if by == "model" else "", "model": self._helper}  # fmt: skip
                yield changed(champion, f"only passages of the {field} that {'a model' if by == 'model' else 'the nearest word'} names", filtering=parts)  # fmt: skip

    def _version(self, champion: Candidate, evidence: Evidence) -> Knowledge:
        engine = engine_of(evidence)
        if self._knowledge and self._rung == "search":
            return find_knowledge(engine, self._knowledge)
        if champion.retrieval:
            return find_knowledge(engine, champion.retrieval.knowledge)
        names = list(dict.fromkeys(one.name for one in made_by_people(engine)))
        if len(names) != 1:
            raise UsageError(
                f"name one of the knowledge bases with --knowledge: {', '.join(names)}"
                if names
                else "there is no knowledge base yet; add one with: ratchet knowledge add FOLDER --name NAME"
            )
        return find_knowledge(engine, names[0])


def shows_passages(candidate: Candidate) -> bool:
    """Return whether a template has a place for passages."""
    return any("passages" in Template(text).names for text in (candidate.user, candidate.system))


def made_by_people(engine: sa.Engine) -> list[Knowledge]:
    """Return knowledge bases but for those that a lever cut."""
    return [one for one in list_knowledge(engine) if not one.cut_from]


def engine_of(evidence: Evidence) -> sa.Engine:
    if evidence.pool.engine is None:
        raise UsageError("there is no workspace, so no knowledge base; make one with: ratchet init")
    return evidence.pool.engine


def changed(champion: Candidate, what: str, **parts: object) -> Candidate:
    """Return the champion with parts of its retrieval changed."""
    assert champion.retrieval is not None  # `propose` has looked
    known = champion.retrieval.model_dump()
    return champion.changed(retrieval=Retrieval.model_validate({**known, **parts}), note=what)


@cache
def texts() -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(TEXTS.read_text("utf-8"))
    return found


def described(engine: sa.Engine, version: Knowledge) -> str:
    """Return what is in a knowledge base, in the titles of its documents."""
    titles = dict.fromkeys(one.title for one in load_passages(engine, version) if one.title)
    return f"{version.name}: {', '.join(list(titles)[:TITLES])}"


def belonging(looking: Looking, versions: Sequence[Knowledge]) -> dict[str, tuple[str, ...]]:
    """Return train questions by the knowledge base that holds what their examples say one must know."""
    engine = engine_of(looking.evidence)
    found: dict[str, tuple[str, ...]] = {}
    for version in versions:
        index = Index(load_passages(engine, version))
        questions = [
            text_of(example.inputs)
            for example in looking.evidence.train
            if any(index.meant(name) for name in example.knowledge)
        ]
        if questions:
            found[version.id] = tuple(questions[:QUESTIONS])
    return found


def pairs_of(champion: Candidate, evidence: Evidence) -> list[tuple[str, str]]:
    """Return train questions, each with a passage of what its example says one must know."""
    assert champion.retrieval is not None  # the caller has looked
    engine = engine_of(evidence)
    index = Index(load_passages(engine, find_knowledge(engine, champion.retrieval.knowledge)))
    return [
        (text_of(example.inputs), passage.searched)
        for example in evidence.train
        for name in example.knowledge
        for passage in [nearest_to(example, index.meant(name))]
        if passage is not None
    ]


def nearest_to(example: Example, passages: Sequence[Passage]) -> Passage | None:
    """Return the passage of several that shares most words with question and answer: of a whole file the one that is needed."""
    words = set(f"{text_of(example.inputs)} {example.reference or ''}".lower().split())
    shared = [len(words & set(one.text.lower().split())) for one in passages]
    return passages[shared.index(max(shared))] if passages else None


def classes(engine: sa.Engine, version: Knowledge) -> list[str]:
    """Return the columns of passages that hold a class: few different values, each of several passages."""
    passages = load_passages(engine, version)
    names = dict.fromkeys(name for one in passages for name in one.meta)
    counts = {
        name: Counter(str(one.meta[name]) for one in passages if name in one.meta) for name in names
    }
    return [
        name for name, count in counts.items() if len(count) in CLASSES and min(count.values()) > 1
    ]
