"""From a question to the passages that it gets to see: route, rewrite, search, rerank, shorten, in the way that a candidate says."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ratchet.answer.aides import Helpers
from ratchet.answer.sql import QueryError, database_of, place_name, query_in, run_query
from ratchet.answer.tables import described
from ratchet.answer.template import Template
from ratchet.core import Compressing, Example, Json, Passage, Reranking, Retrieval, Tables
from ratchet.core.errors import CandidateError
from ratchet.retrieval import CrossEncoder, Found, Index, Library, fused, newest, sentences

__all__ = ["check_retrieval", "find_passages"]

MOST_CLASSES = 50
LONGEST_QUERY = 400
"""Tokens of a query for tables."""
LONGEST_PART = 200
"""Tokens of a passage that a model shortens."""
MOST_QUESTIONS = 5
LONGEST_CELL = 300
"""Letters of a value of a table."""
ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
"""What stands before the items of a list."""
SEVERAL_FROM = 2


def check_retrieval(retrieval: Retrieval, inputs: Sequence[str]) -> None:
    """Refuse templates that use what is not there.

    Raises: TemplateError.
    """
    asked: list[tuple[str, set[str]]] = [
        (text, set(inputs)) for text in (retrieval.query, *retrieval.where.values())
    ]
    for part, names in (
        (retrieval.rewriting, {"query"}),
        (retrieval.routing, {"query", "choices"}),
        (retrieval.tables, {"query", "schema"}),
        (retrieval.filtering, {"query", "choices"}),
        (retrieval.reranking, {"query", "passages"}),
        (retrieval.compressing, {"query", "text"}),
    ):
        if part is not None:
            asked.append((part.prompt, names))
    if retrieval.tables:
        asked.append((retrieval.tables.database, set(inputs)))
    for text, names in asked:
        Template(text).check(names)


async def find_passages(
    retrieval: Retrieval, query: str, example: Example, helpers: Helpers
) -> list[Passage]:
    """Return the passages for a query, in the order in which they are shown.

    Args:
        retrieval: How.
        query: What is asked, in words.
        example: Whose inputs filters use; `gold` shows what it says one must know.
        helpers: Whom to ask on the way.
    Raises: DataError if there is no such knowledge base; ReplyError if a model that is asked gives no reply; TaskError if a database
        is not there.
    """
    if retrieval.mode == "none":
        return []
    if retrieval.mode == "gold" and not retrieval.knowledge:  # what one must know is told in full
        return gold(example, Index([]))
    library = Library.of(helpers.pool)
    if retrieval.mode == "gold":
        index = await library.index(await library.version(retrieval.knowledge), None)
        return gold(example, index)
    where_to = await routed(retrieval, query, helpers)
    if where_to == "none":
        return []
    if where_to == "tables" and retrieval.tables:
        return await from_tables(retrieval.tables, query, example.inputs, helpers)
    embedding = None if retrieval.mode == "lexical" else retrieval.embedding
    version = await library.version(where_to)
    index = await library.index(version, embedding, retrieval.language)
    where = {name: Template(text).render(example.inputs) for name, text in retrieval.where.items()}
    where |= await filtered(retrieval, query, index, helpers)
    depth = max(retrieval.k, retrieval.reranking.depth if retrieval.reranking else 0)
    rankings = [
        await library.search(
            where_to,
            one,
            mode=retrieval.mode,
            k=depth,
            embedding=retrieval.embedding,
            weight=retrieval.weight,
            where=where,
            language=retrieval.language,
        )
        for one in await searched(retrieval, query, helpers)
    ]
    found = rankings[0] if len(rankings) == 1 else fused(rankings)
    if retrieval.reranking:
        found = await reranked(retrieval.reranking, query, found[:depth], helpers)
    chosen = [one.passage for one in found[: retrieval.k]]
    if retrieval.order == "as written":
        chosen.sort(key=index.place)
    passages = with_neighbours(chosen, index, retrieval)
    if retrieval.compressing:
        passages = await shortened(retrieval, retrieval.compressing, query, passages, helpers)
    return passages[::-1] if retrieval.order == "best last" else passages


def gold(example: Example, index: Index) -> list[Passage]:
    """Return what an example says one must know: passages by id, file or title, those of a file as one; any other text is a passage itself."""
    found: dict[str, Passage] = {}
    for name in example.knowledge:
        for passage in index.meant(name) or [Passage(text=name)]:
            key = passage.source or passage.id
            before = found.get(key)
            text = passage.text if before is None else f"{before.text}\n{passage.text}"
            found[key] = passage.model_copy(update={"text": text})
    return list(found.values())


async def routed(retrieval: Retrieval, query: str, helpers: Helpers) -> str:
    """Return where a query goes; to the candidate's own knowledge base where there is nothing to choose, or no choice was made."""
    routing = retrieval.routing
    if routing is None:
        return retrieval.knowledge
    if routing.by == "model":
        chosen = await helpers.choice(routing.prompt, query, routing.choices, model=routing.model)
        return chosen or retrieval.knowledge
    texts = {
        name: [text, *routing.questions.get(name, ())] for name, text in routing.choices.items()
    }
    return await helpers.nearest(query, texts, embedding=retrieval.embedding)


async def from_tables(
    tables: Tables, query: str, inputs: Mapping[str, Json], helpers: Helpers
) -> list[Passage]:
    """Return the rows that a model's query finds, as one passage; nothing where it cannot be run."""
    place = await asyncio.to_thread(database_of, tables.database, inputs, helpers.pool.root)
    schema = await asyncio.to_thread(described, place)
    said = await helpers.ask(
        tables.prompt,
        {"query": query, "schema": schema},
        model=tables.model,
        max_tokens=LONGEST_QUERY,
    )
    written = query_in(said)
    try:
        rows = await asyncio.to_thread(run_query, place, written)
    except QueryError:
        return []
    shown = "\n".join(
        " | ".join(str(value)[:LONGEST_CELL] for value in row) for row in rows[: tables.rows]
    )
    more = f"\n… {len(rows):,} rows" if len(rows) > tables.rows else ""
    return [Passage(text=f"{shown or 'no rows'}{more}", title=written, source=place_name(place))]


async def filtered(
    retrieval: Retrieval, query: str, index: Index, helpers: Helpers
) -> dict[str, str]:
    """Return the filter for the class that a query is about; none where none is named."""
    filtering = retrieval.filtering
    if filtering is None:
        return {}
    values = index.values(filtering.field)
    if retrieval.routing and len(values) < SEVERAL_FROM:
        return {}  # the query went to another knowledge base, which has no such column
    if not SEVERAL_FROM <= len(values) <= MOST_CLASSES:
        raise CandidateError(
            f"retrieval.filtering: passages have {len(values)} different values of {filtering.field!r}; a class has {SEVERAL_FROM} to {MOST_CLASSES}"
        )
    if filtering.by == "model":
        choices = {value: value for value in values}
        chosen = await helpers.choice(filtering.prompt, query, choices, model=filtering.model)
    else:
        texts = {value: [value] for value in values}
        chosen = await helpers.nearest(query, texts, embedding=retrieval.embedding)
    return {} if chosen is None else {filtering.field: chosen}


async def searched(retrieval: Retrieval, query: str, helpers: Helpers) -> list[str]:
    """Return what is searched: the query, or what a model makes of it."""
    rewriting = retrieval.rewriting
    if rewriting is None:
        return [query]
    said = await helpers.ask(
        rewriting.prompt,
        {"query": query},
        model=rewriting.model,
        max_tokens=rewriting.max_tokens,
    )
    if not rewriting.several:
        return [said or query]
    lines = [ITEM.sub("", line).strip() for line in said.splitlines()]
    return list(dict.fromkeys([query, *(line for line in lines if line)]))[: MOST_QUESTIONS + 1]


async def reranked(
    reranking: Reranking, query: str, found: list[Found], helpers: Helpers
) -> list[Found]:
    """Return what was found in another order."""
    if reranking.by == "newest":
        return newest(found)
    if not found:
        return []
    if reranking.by == "model":
        texts = [one.passage.searched for one in found]
        order = await helpers.order(reranking.prompt, query, texts, model=reranking.model)
        return [found[place] for place in order]
    name = reranking.model or ""
    kept = helpers.pool.kept
    encoder: CrossEncoder = kept.get(f"cross-encoder {name}") or kept.setdefault(
        f"cross-encoder {name}", CrossEncoder(helpers.pool.folder(name))
    )
    return await encoder.order(query, found)


def with_neighbours(passages: list[Passage], index: Index, retrieval: Retrieval) -> list[Passage]:
    """Return each passage with those around it; what one shows already no later one repeats."""
    if not retrieval.around:
        return passages
    whole: list[Passage] = []
    shown: set[str] = set()
    for passage in passages:
        near = [one for one in index.around(passage, retrieval.around) if one.id not in shown]
        if passage.id in shown:
            continue
        shown |= {one.id for one in near}
        text = "\n".join(one.text for one in near)
        whole.append(passage.model_copy(update={"text": text}))
    return whole


async def shortened(
    retrieval: Retrieval,
    compressing: Compressing,
    query: str,
    passages: list[Passage],
    helpers: Helpers,
) -> list[Passage]:
    """Return of each passage what bears on the query; a passage of which nothing is left is not shown."""
    if compressing.by == "model":
        texts = await asyncio.gather(
            *(
                helpers.ask(
                    compressing.prompt,
                    {"query": query, "text": one.text},
                    model=compressing.model,
                    max_tokens=LONGEST_PART,
                )
                for one in passages
            )
        )
    else:
        texts = await telling(passages, query, compressing.words, retrieval.embedding, helpers)
    pairs = zip(passages, texts, strict=True)
    return [one.model_copy(update={"text": text}) for one, text in pairs if text]


async def telling(
    passages: Sequence[Passage], query: str, words: int, embedding: str, helpers: Helpers
) -> list[str]:
    """Return of each passage the sentences that are nearest to a query, in their order, up to so many words (one sentence at least)."""
    parts = [list(sentences(one.text, words)) for one in passages]
    long = [
        place
        for place, one in enumerate(passages)
        if len(one.text.split()) > words and len(parts[place]) >= SEVERAL_FROM
    ]
    (vector,), _ = await helpers.pool.embedder(embedding).embed([query])
    found = [one.text for one in passages]
    for place in long:
        rows = await helpers.vectors(parts[place], embedding)
        chosen: list[int] = []
        count = 0
        for number in np.argsort(-(rows @ vector), kind="stable"):
            length = len(parts[place][number].split())
            if chosen and count + length > words:
                break
            chosen.append(int(number))
            count += length
        found[place] = " ".join(parts[place][number] for number in sorted(chosen))
    return found
