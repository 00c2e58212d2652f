"""Levers by name: what each may be told, and what there is to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ratchet.core import Candidate
from ratchet.core.errors import UsageError, did_you_mean
from ratchet.levers.decoding import DecodingLever
from ratchet.levers.demos import DemosLever
from ratchet.levers.dspy import DspyLever
from ratchet.levers.lever import Lever
from ratchet.levers.model import ModelLever
from ratchet.levers.prompt import PromptLever
from ratchet.levers.proposals import Proposer
from ratchet.levers.retrieval import RetrievalLever, RetrievalRung
from ratchet.levers.tune import TuneLever
from ratchet.tuning import Launch, TuningSettings, Weights

__all__ = ["CLIMBED", "LeverOptions", "make_levers"]

CLIMBED = ("prompt", "demos", "decoding", "retrieval", "model", "tune")
"""What a climb chooses from."""


@dataclass(frozen=True, kw_only=True)
class LeverOptions:
    """What levers are told; where nothing is said, each does what it does by itself."""

    templates: Sequence[str] = ()
    """prompt: files or patterns, in place of those in the task's folder."""
    propose: int = 0
    """prompt: so many that a model proposes."""
    proposer: str | None = None
    """prompt, dspy: who proposes; the task's teacher where nobody is named."""
    bootstrap: bool = False
    """demos: show replies that the metric accepts, not the references."""
    nearest: tuple[int, ...] = (4,)
    """demos: also show each input so many that are nearest to it."""
    embedding: str = "local:minilm"
    """demos, retrieval: tells how near texts are."""
    models: Sequence[str] = ()
    """model: which ones; the task's teacher and student where none is named."""
    knowledge: str | None = None
    """retrieval: which knowledge base; the only one where none is named."""
    rungs: Sequence[RetrievalRung] = ("search",)
    """retrieval: each is a lever of its own."""
    helper: str | None = None
    """retrieval: who is asked on the way; the candidate's own model where nobody is named."""
    reranker: str | None = None
    """retrieval: a cross-encoder."""
    optimiser: Literal["random-search", "mipro", "gepa"] = "random-search"
    programs: int = 8
    """dspy: how many programs or instructions it makes."""
    reasoned: bool = False
    """dspy: reason before the answer."""
    epochs: float | None = None
    prune: bool = False
    """tune: also train without the instructions."""
    distil: bool = False
    """tune: learn the teacher's answers that the metric accepts."""
    replay: float = 0.0
    """tune: mix in the base's own practice, as a share of the examples."""
    by_score: bool = False
    """tune: keep the checkpoint with the best score, not the best loss."""
    base: str | None = None
    """tune: which model learns; the champion's own where none is named."""
    weights: Weights = "lora"
    packing: bool = False


def make_levers(
    names: Sequence[str], options: LeverOptions, *, variants: Sequence[Candidate], launch: Launch
) -> list[Lever]:
    """Return the levers of these names, retrieval's one by one.

    Args:
        names: In the order in which they are tried.
        options: What they are told.
        variants: The candidates that the lever prompt compares.
        launch: On what a fine-tune runs.
    Raises: UsageError if there is none of a name.
    """
    settings = TuningSettings(
        best="score" if options.by_score else "loss",
        weights=options.weights,
        packing=options.packing,
        **({"epochs": options.epochs} if options.epochs else {}),
    )
    proposer = Proposer(options.proposer, count=options.propose) if options.propose else None
    known: dict[str, list[Lever]] = {
        "prompt": [PromptLever(variants, proposer=proposer)],
        "demos": [
            DemosLever(
                bootstrap=options.bootstrap, nearest=options.nearest, embedding=options.embedding
            )
        ],
        "decoding": [DecodingLever()],
        "model": [ModelLever(options.models)],
        "retrieval": [
            RetrievalLever(
                options.knowledge,
                rung=rung,
                embedding=options.embedding,
                helper=options.helper,
                reranker=options.reranker,
            )
            for rung in options.rungs
        ],
        "dspy": [
            DspyLever(
                options.optimiser,
                candidates=options.programs,
                reasoned=options.reasoned,
                proposer=options.proposer,
            )
        ],
        "tune": [
            TuneLever(
                settings,
                prune=options.prune,
                distil=options.distil,
                replay=options.replay,
                base=options.base,
                launch=launch,
            )
        ],
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"unknown lever {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )
    return [lever for name in names for lever in known[name]]
