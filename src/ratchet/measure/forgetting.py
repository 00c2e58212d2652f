"""What a fine-tune forgot: questions that its task never asks, put to the base and to the fine-tune, as a non-inferiority verdict.

The probes are chats with a known answer. A base that ships its own (`probes.jsonl` beside its weights) is asked those — for
`local:nano` the abilities of its model card; any other base gets a few dozen general ones. An answer counts when it is the
wanted one to the letter, but for spaces around it. Where the weights are at hand, the likelihood of held-out text is compared too: the
wanted answers of a base's own probes, else plain paragraphs in several languages and forms (`texts.jsonl`).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from ratchet.core import Candidate, Json, Record, Verdict
from ratchet.core.errors import ReplyError
from ratchet.measure.compare import Pairs, verdict_of
from ratchet.measure.intervals import t_interval
from ratchet.models import (
    ChatModel,
    ChatReply,
    ChatRequest,
    LikelihoodModel,
    ModelPool,
    local_folder,
)

__all__ = ["Forgetting", "Probe", "forgetting", "load_probes", "probes_for", "texts_for"]

GENERAL = Path(__file__).parent / "probes.jsonl"
TEXTS = Path(__file__).parent / "texts.jsonl"
MARGIN = 0.05
"""The loss that still counts as nothing forgotten."""
LONGEST = 200
Text = tuple[ChatRequest | None, str]
"""A text, and the request that it answers, if it does."""


class Probe(Record):
    """A chat whose last message is the wanted answer."""

    ability: str
    messages: tuple[dict[str, Json], ...]
    tools: tuple[Json, ...] = ()

    def is_right(self, reply: ChatReply) -> bool:
        """Return whether a reply is the wanted answer."""
        wanted = self.messages[-1]
        calls = wanted.get("tool_calls")
        if not calls:
            return reply.text.strip() == str(wanted["content"]).strip()
        said = [(call.name, call.arguments) for call in reply.tool_calls]
        return said == [(c["function"]["name"], c["function"]["arguments"]) for c in calls]


class Likelihoods(Record):
    """How likely held-out text is to base and fine-tune, in nats a token, as a mean over texts."""

    texts: int
    before: float
    after: float
    low: float
    high: float
    """The 95 % interval of the change, paired by text."""

    @property
    def sentence(self) -> str:
        """Return it in words."""
        return f"Held-out text ({self.texts} texts): {self.before:.3f} → {self.after:.3f} nats a token, 95 % interval of the change {self.low:+.3f} to {self.high:+.3f}."


class Forgetting(Record):
    """What of the base's abilities is left in a fine-tune."""

    verdict: Verdict
    """The fine-tune against the base over all probes: `worse` is what was forgotten."""
    abilities: dict[str, tuple[int, float, float]]
    """By ability: how many probes, and the shares that base and fine-tune answer."""
    likelihoods: Likelihoods | None = None
    """None where the weights are not at hand."""

    @property
    def sentence(self) -> str:
        """Return it in words."""
        verdict = self.verdict
        head = {
            "better": "Nothing was forgotten overall",
            "not worse": "Nothing was forgotten overall",
            "worse": "The fine-tune has forgotten",
            "no evidence": "It cannot be told whether anything was forgotten",
        }[verdict.decision]
        low, high = 100 * verdict.interval.low, 100 * verdict.interval.high
        lost = sorted(self.abilities.items(), key=lambda item: item[1][2] - item[1][1])
        worst = [
            f"{name} {100 * before:.0f} → {100 * after:.0f}"
            for name, (_, before, after) in lost[:3]
            if before - after >= MARGIN
        ]
        return (
            f"{head}: {100 * verdict.champion_score:.0f} % of {verdict.n} probes before, {100 * verdict.challenger_score:.0f} % after "
            f"({100 * verdict.effect:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f})"
            + (f"; the most in: {', '.join(worst)}" if worst else "")
            + "."
            + (f" {self.likelihoods.sentence}" if self.likelihoods else "")
        )


def load_probes(path: Path) -> list[Probe]:
    """Return the probes of a file, one a line."""
    return [
        Probe.model_validate(orjson.loads(line)) for line in path.read_bytes().splitlines() if line
    ]


def probes_for(model: str, root: Path) -> list[Probe]:
    """Return a model's own probes, else the general ones."""
    return own_probes(model, root) or load_probes(GENERAL)


def own_probes(model: str, root: Path) -> list[Probe]:
    """Return the probes that a local model ships with; none where it has none."""
    path = local_folder(model, root) / "probes.jsonl" if model.startswith("local:") else None
    return load_probes(path) if path and path.is_file() else []


def texts_for(model: str, root: Path) -> list[Text]:
    """Return held-out text: the wanted answers of a base's own probes, else plain paragraphs."""
    if own := own_probes(model, root):
        return [
            (ChatRequest(messages=list(probe.messages[:-1])), str(probe.messages[-1]["content"]))
            for probe in own
            if probe.messages[-1].get("content")
        ]
    return [(None, orjson.loads(line)) for line in TEXTS.read_bytes().splitlines() if line]


async def forgetting(
    pool: ModelPool,
    base: Candidate,
    tuned: Candidate,
    probes: Sequence[Probe],
    *,
    texts: Sequence[Text] = (),
    margin: float = MARGIN,
) -> Forgetting:
    """Return what the fine-tune forgot; a probe that one of the two gives no reply to is left out, and counted as missing.

    Args:
        pool: Where the models are.
        base: The candidate before the fine-tune; its model and adapter count, not its prompt.
        tuned: The one after it.
        probes: What is asked.
        texts: The held-out text whose likelihood is compared, where the weights are at hand.
        margin: The loss of score that counts as nothing.
    """
    before, after = await asyncio.gather(
        *(answered(pool.model(one.model), one.adapter, probes) for one in (base, tuned))
    )
    both = [k for k, pair in enumerate(zip(before, after, strict=True)) if None not in pair]
    pairs = Pairs(
        np.array([float(bool(before[k])) for k in both]),
        np.array([float(bool(after[k])) for k in both]),
        None,
    )
    verdict = verdict_of(
        pairs,
        names=(base.id, tuned.id),
        about=("probes", "exact"),
        missing=len(probes) - len(both),
        margin=margin,
    )
    abilities: dict[str, tuple[int, float, float]] = {}
    for name in dict.fromkeys(probe.ability for probe in probes):
        places = [place for place, k in enumerate(both) if probes[k].ability == name]
        if places:
            shares = float(pairs.before[places].mean()), float(pairs.after[places].mean())
            abilities[name] = (len(places), *shares)
    return Forgetting(
        verdict=verdict,
        abilities=abilities,
        likelihoods=await likelihoods(pool, base, tuned, texts),
    )


async def likelihoods(
    pool: ModelPool, base: Candidate, tuned: Candidate, texts: Sequence[Text]
) -> Likelihoods | None:
    """Return how likely texts are to both; None without weights or texts."""
    found = []
    for one in (base, tuned):
        model = pool.model(one.model)
        if not texts or not isinstance(model, LikelihoodModel):
            return None
        sums = await model.likelihoods(texts, adapter=one.adapter)
        found.append(np.array([total / max(1, count) for total, count in sums]))
    before, after = found
    change = t_interval(after - before)
    return Likelihoods(
        texts=len(texts),
        before=float(before.mean()),
        after=float(after.mean()),
        low=change.low,
        high=change.high,
    )


async def answered(
    model: ChatModel, adapter: str | None, probes: Sequence[Probe]
) -> list[bool | None]:
    """Return for each probe whether it was answered rightly; None where no reply came."""
    turns = asyncio.Semaphore(model.concurrency)

    async def one(probe: Probe) -> bool | None:
        request = ChatRequest(
            messages=list(probe.messages[:-1]),
            tools=list(probe.tools) or None,
            max_tokens=LONGEST,
            adapter=adapter,
        )
        async with turns:
            try:
                return probe.is_right(await model.chat(request))
            except ReplyError:
                return None

    return list(await asyncio.gather(*(one(probe) for probe in probes)))
