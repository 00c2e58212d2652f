"""What an input gets to see beside the template: demonstrations that are near to it, passages, the tables of its database."""

import asyncio
from dataclasses import dataclass

from ratchet.answer.aides import Helpers
from ratchet.answer.finding import find_passages
from ratchet.answer.messages import Prompt
from ratchet.answer.nearest import class_of, text_of
from ratchet.answer.tables import tables_for
from ratchet.core import Example, Nearest, Passage
from ratchet.core.errors import CandidateError
from ratchet.core.records import written
from ratchet.models import ChatModel, ChatRequest, ModelPool

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """A request, and what was found for it."""

    request: ChatRequest
    passages: tuple[Passage, ...] = ()
    helpers: Helpers | None = None
    """Who was asked on the way; it counts as the candidate's. None where nobody had to be."""


async def gather(
    prompt: Prompt, example: Example, pool: ModelPool | None, model: ChatModel | None = None
) -> Gathered:
    """Return the request for one example, with all that follows the input.

    Args:
        prompt: Of the candidate.
        example: Whose inputs are put in.
        pool: Has who tells how near two texts are, and the database with knowledge.
        model: The candidate's, who is asked on the way; by default the pool's of that name.
    Raises: CandidateError if something is to be found, and there is no pool; DataError if there is no such knowledge; ReplyError if
        someone who is asked on the way gives no reply; TaskError if the task's database is not there.
    """
    nearest, retrieval = prompt.candidate.nearest, prompt.candidate.retrieval
    if nearest is None and retrieval is None and not prompt.shows_tables:
        return Gathered(request=prompt.request(example))
    if pool is None:
        raise CandidateError(
            f"candidate {prompt.candidate.id} looks for what is near to the input, and no model is at hand to tell what that is"
        )
    helpers = Helpers(pool, model or prompt.candidate.model)
    tables: str | None = None
    if prompt.shows_tables:
        tables = await asyncio.to_thread(tables_for, prompt.task, example.inputs, pool.root)
    passages: list[Passage] | None = None
    if retrieval:
        query = prompt.query(example.inputs) or text_of(example.inputs)
        passages = await find_passages(retrieval, query, example, helpers)
    shown = None
    if nearest:
        shown = await chosen(prompt, nearest, example, helpers, (passages, tables))
    return Gathered(
        request=prompt.request(example, shown=shown, passages=passages, tables=tables),
        passages=tuple(passages or ()),
        helpers=helpers,
    )


async def chosen(
    prompt: Prompt,
    nearest: Nearest,
    example: Example,
    helpers: Helpers,
    found: tuple[list[Passage] | None, str | None],
) -> list[int]:
    """Return the places of the demonstrations that an input gets to see."""
    embedder = helpers.pool.embedder(nearest.embedding)
    assert prompt.neighbours is not None  # the candidate chooses
    draft = of_class = None
    if nearest.needs_draft:
        passages, tables = found
        plain = prompt.request(example, shown=[], passages=passages, tables=tables)
        answer, failure = prompt.read(await helpers.send(plain))
        if failure is None:
            draft = written(answer) if nearest.by == "answer" else None
            of_class = class_of(prompt.task, answer) if nearest.same_class else None
    return await prompt.neighbours.of(example.inputs, embedder, draft=draft, of_class=of_class)
