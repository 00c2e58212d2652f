"""The questions of the diagnosis: changes of a candidate, each of which tells one cause of failure from the others."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from ratchet.core import Candidate, Demonstration, Nearest, Retrieval
from ratchet.core.errors import UnknownModelError
from ratchet.levers import Evidence
from ratchet.levers.retrieval import QUOTED, made_by_people, shows_passages
from ratchet.metrics.metric import references_are_answers

__all__ = ["Question", "questions_of"]

TEXTS = Path(__file__).with_name("diagnosis.yaml")
SHOWN, POOL, SAMPLES, REPAIRS, HEAT = 4, 200, 3, 2, 0.7
EMBEDDING = "local:minilm"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What if the candidate were changed so?"""

    name: str
    lever: str
    """That makes such a change; empty for the control."""
    candidate: Candidate


def questions_of(champion: Candidate, evidence: Evidence, asked: Collection[str]) -> list[Question]:
    """Return the questions that can be asked of a candidate, the control first.

    Args:
        champion: Who fails.
        evidence: Its task, train examples and models.
        asked: The ids of the examples that it is asked about; none of them is shown as a demonstration.
    """
    found = [Question(name="control", lever="", candidate=changed(champion, "nothing but a line break", user=f"{champion.user}\n"))]  # fmt: skip
    found += [Question(name="demonstrations", lever="demos", candidate=c) for c in shown(champion, evidence, asked)]  # fmt: skip
    words = yaml.safe_load(TEXTS.read_text("utf-8"))["reworded"]
    found.append(Question(name="reworded", lever="prompt", candidate=changed(champion, "other words", system=f"{champion.system}\n{words}".strip())))  # fmt: skip
    found += [Question(name=name, lever="decoding", candidate=c) for name, c in drawn(champion, evidence)]  # fmt: skip
    teacher = evidence.task.models.teacher
    if teacher and teacher != champion.model:
        stronger = changed(champion, f"on {teacher}", model=teacher, adapter=None)
        found.append(Question(name="stronger model", lever="model", candidate=stronger))
    found += [Question(name=name, lever="retrieval", candidate=c) for name, c in told(champion, evidence, asked)]  # fmt: skip
    return found


def changed(champion: Candidate, what: str, **parts: object) -> Candidate:
    return champion.changed(**parts, note=what)


def shown(champion: Candidate, evidence: Evidence, asked: Collection[str]) -> list[Candidate]:
    """Return the candidate with demonstrations, the nearest where somebody can tell which; nothing where references are no answers."""
    if not references_are_answers(evidence.bench.metric):
        return []
    pool = [Demonstration(inputs=e.inputs, answer=e.reference) for e in evidence.labelled if e.id not in asked][:POOL]  # fmt: skip
    if len(pool) <= SHOWN:
        return []
    try:
        evidence.pool.embedder(EMBEDDING)
    except UnknownModelError:
        few = tuple(pool[:SHOWN])
        return [changed(champion, f"{SHOWN} demonstrations", demonstrations=few, nearest=None)]
    nearest = Nearest(count=SHOWN, embedding=EMBEDDING)
    what = f"the {SHOWN} nearest demonstrations"
    return [changed(champion, what, demonstrations=tuple(pool), nearest=nearest)]


def drawn(champion: Candidate, evidence: Evidence) -> list[tuple[str, Candidate]]:
    """Return the candidate with other ways of drawing its answer, those that can change it."""
    decoding, form = champion.decoding.model_dump(), evidence.task.answer
    heat = decoding["temperature"] or evidence.pool.sampling_temperature(champion.model, HEAT)
    samples = {"samples": SAMPLES, "temperature": heat}
    found = [("asked again", changed(champion, f"{SAMPLES} samples", decoding=decoding | samples))]
    checked = form.kind != "text" or form.check or form.database
    if checked and champion.decoding.repairs < REPAIRS:
        repaired = decoding | {"repairs": REPAIRS}
        found.append(("error handed back", changed(champion, "repairs", decoding=repaired)))
    if form.kind in ("json", "tool"):
        other = decoding | {"constrained": not champion.decoding.constrained}
        name = "free form" if champion.decoding.constrained else "forced form"
        found.append((name, changed(champion, name, decoding=other)))
    return found


def told(
    champion: Candidate, evidence: Evidence, asked: Collection[str]
) -> list[tuple[str, Candidate]]:
    """Return the candidate told what one must know, with what a search finds, and with nothing."""
    engine, retrieval = evidence.pool.engine, champion.retrieval
    known = made_by_people(engine) if engine is not None else []
    user = champion.user
    if retrieval is None and not shows_passages(champion):
        user = QUOTED + user
    found = []
    name = retrieval.knowledge if retrieval else (known[0].id if known else "")
    plain = retrieval or Retrieval(knowledge=name, embedding=EMBEDDING)
    if any(one.knowledge for one in evidence.train if one.id in asked):
        gold = plain.model_copy(update={"mode": "gold"})
        found.append(("told what it must know", changed(champion, "the gold passages", retrieval=gold, user=user)))  # fmt: skip
    if retrieval is None and len({one.name for one in known}) == 1:
        try:
            evidence.pool.embedder(EMBEDDING)
            mode = "hybrid"
        except UnknownModelError:
            mode = "lexical"
        searched = plain.model_copy(update={"mode": mode})
        found.append(("searched", changed(champion, "passages that a search finds", retrieval=searched, user=user)))  # fmt: skip
    if retrieval is not None and retrieval.mode != "none":
        nothing = retrieval.model_copy(update={"mode": "none"})
        found.append(("without passages", changed(champion, "no passages", retrieval=nothing)))
    return found
