"""Release: serve a champion under a name, with who did so and when."""

import re
from datetime import UTC, datetime

import sqlalchemy as sa

from ratchet.answer import Prompt
from ratchet.core import Candidate, Release, Task
from ratchet.core.errors import UsageError
from ratchet.ladder.final import login_name
from ratchet.retrieval import pinned
from ratchet.store import add_release, keep_candidate, load_releases, load_steps

__all__ = ["promote"]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def promote(
    engine: sa.Engine, task: Task, candidate: Candidate, *, name: str, who: str | None = None
) -> Release:
    """Return the release that serves `candidate` under `name` from now on; the same one again changes nothing.

    Raises: UsageError if the name could be a model's; CandidateError if the candidate does not fit the task.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a release's name is lower-case letters, digits, dots, - and _, so that it is never taken for a model's; got {name!r}"
        )
    if candidate.is_brought:
        raise UsageError(
            f"{candidate.model!r} stands for answers that were collected elsewhere, and cannot answer anybody; serve a candidate with a model"
        )
    candidate = pinned(engine, candidate)
    Prompt(task, candidate)
    if candidate.retrieval and candidate.retrieval.is_counterfactual:
        raise UsageError(
            f"{candidate.id} is a question of the diagnosis (retrieval.mode {candidate.retrieval.mode!r}), and no way to answer; serve a candidate that searches"
        )
    before = load_releases(engine, name)
    same = before and (before[-1].candidate.id, before[-1].task) == (candidate.id, task)
    if same and before[-1].canary is None:
        return before[-1]
    release = Release(
        name=name,
        number=len(before) + 1,
        task=task,
        candidate=candidate,
        who=who or login_name(),
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        why=standing(engine, task, candidate),
    )
    keep_candidate(engine, candidate)
    add_release(engine, release)
    return release


def standing(engine: sa.Engine, task: Task, candidate: Candidate) -> str:
    """Return what a candidate's place on the ladder says of it, in words; nothing where it has none."""
    for step in reversed(load_steps(engine, task.name)):
        if step.candidate_id == candidate.id and step.kept:
            return step.verdict.sentence if step.verdict else f"the start, {100 * step.score:.1f}"
    return ""
