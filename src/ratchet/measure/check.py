"""Checks before money is spent: what is wrong with a task and its examples, found without a single call."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from scipy import stats

from ratchet.answer import parse_answer, written_answer
from ratchet.answer.checks import check_of
from ratchet.core import Candidate, Example, Json, Record, Task, canonical_json
from ratchet.core.errors import TaskError
from ratchet.data import find_leaks, near_duplicates, similar_labels
from ratchet.data.splits import text_of
from ratchet.measure.compare import paired
from ratchet.measure.contrasts import Contrast, measure_contrasts
from ratchet.measure.intervals import standard_error
from ratchet.measure.measurement import Measurement
from ratchet.measure.power import mcnemar_n, mcnemar_power, mcnemar_visible
from ratchet.metrics import Judged, Metric
from ratchet.metrics.metric import failed_share_of, needs_references, references_are_answers
from ratchet.models import reply_in

__all__ = ["Finding", "check_task"]

DISAGREEING = 0.2
"""Two candidates worth comparing disagree on about a fifth of the examples; the power is told for that share."""
FINE, COARSE = 0.05, 0.1
"""A small gain that is worth having, and a large one: a dev split that does not show even that is too small."""
POWER = 0.8
REACH = float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER))
"""Standard errors that a difference must be worth, to be seen at 5 % with that power."""
FEWEST_DECIDED = 6
"""With fewer examples no result is beyond chance at 5 %: 2 / 2^5 is more."""
LOPSIDED = 0.9
FEW_OF_A_LABEL = 5
SHOWN = 5
CHECKED = 1000
"""References that the task's own check looks at, at most: each may be a query."""


class Finding(Record):
    """One thing that a check says."""

    check: str
    level: Literal["error", "warning", "ok"]
    """An error makes figures wrong; a warning makes them weak."""
    text: str
    examples: tuple[str, ...] = ()
    """Ids of the first few examples that it is about."""
    contrasts: tuple[Contrast, ...] = ()
    """What the metric says of wrong answers, where that was looked at."""


def check_task(
    task: Task,
    examples: Sequence[Example],
    metric: Metric | Judged,
    candidates: Sequence[Candidate] = (),
    *,
    root: Path,
    measured: Sequence[Measurement] = (),
) -> list[Finding]:
    """Return what every check found, in a fixed order.

    Args:
        task: The task.
        examples: All its examples, with their splits.
        metric: Its metric.
        candidates: Those whose demonstrations are looked at.
        root: The folder that the task's files are meant from.
        measured: What is known of candidates on dev; the spread of their scores tells what dev can show.
    """
    labelled = [example for example in examples if task.is_labelled(example)]
    answers = [
        (example, *parse_answer(task, reply_in(written_answer(task, example.reference, 0))))
        for example in labelled
    ]
    unreachable = [example for example, _, failure in answers if failure]
    given = [(example, answer) for example, answer, failure in answers if not failure]
    return [
        leakage(examples),
        shown_answers(examples, candidates),
        duplicates(examples),
        conflicts(examples),
        references(task, examples, metric),
        *balance(task, labelled),
        *label_names(task),
        *([reachable(task, unreachable)] if labelled else []),
        *passing(task, given, metric, root),
        *(scoring(task, metric, given) if labelled else []),
        power(examples, measured),
    ]


def finding(
    check: str,
    wrong: Sequence[Example],
    bad: Callable[[int], str],
    good: str,
    level: Literal["error", "warning"] = "error",
) -> Finding:
    if not wrong:
        return Finding(check=check, level="ok", text=good)
    ids = tuple(dict.fromkeys(example.id for example in wrong))
    return Finding(check=check, level=level, text=bad(len(ids)), examples=ids[:SHOWN])


def leakage(examples: Sequence[Example]) -> Finding:
    """Find near-duplicates, and members of one group, in different splits."""
    return finding(
        "leakage",
        [leak.second for leak in find_leaks(examples)],
        lambda count: (
            f"{count} examples have a near-duplicate, or a member of their group, in another split; import the file into a new task"
        ),
        "no near-duplicate and no group stands in two splits",
    )


def shown_answers(examples: Sequence[Example], candidates: Sequence[Candidate]) -> Finding:
    """Find demonstrations that are near-duplicates of dev or test examples: the prompt would tell the answer."""
    shown = [
        Example(inputs=d.inputs, reference=d.answer, split="train")
        for candidate in candidates
        for d in candidate.demonstrations
    ]
    distinct = list({e.id: e for e in shown}.values())
    sealed = [e.model_copy(update={"group": None}) for e in examples if e.split in ("dev", "test")]
    found = find_leaks([*distinct, *sealed]) if distinct else []
    return finding(
        "demonstrations",
        [leak.second for leak in found if leak.first.split == "train"],
        lambda count: (
            f"{count} dev or test examples are shown, or nearly, as demonstrations of a candidate; take them from train"
        ),
        f"none of {len(distinct)} demonstrations is a dev or test example",
    )


def duplicates(examples: Sequence[Example]) -> Finding:
    """Find near-duplicates inside the splits: they count as evidence twice."""
    pairs = near_duplicates([text_of(example) for example in examples])
    return finding(
        "duplicates",
        [examples[j] for i, j in pairs if examples[i].split == examples[j].split],
        lambda count: (
            "1 example is a near-duplicate of another one in its split"
            if count == 1
            else f"{count} examples are near-duplicates of other ones in their split"
        ),
        "no near-duplicates",
        "warning",
    )


def conflicts(examples: Sequence[Example]) -> Finding:
    """Find equal inputs with different references: no candidate can be right on all of them."""
    answers: dict[str, dict[str, Example]] = {}
    for example in examples:
        asked = canonical_json(example.inputs)
        answers.setdefault(asked, {})[canonical_json(example.reference)] = example
    return finding(
        "label conflicts",
        [e for found in answers.values() if len(found) > 1 for e in found.values()],
        lambda count: (
            f"{count} examples have the inputs of another one and a different reference; correct or remove them"
        ),
        "equal inputs have equal references",
    )


def references(task: Task, examples: Sequence[Example], metric: Metric | Judged) -> Finding:
    """Say how many examples have no reference, and whether the metric can score them."""
    without = [example for example in examples if not task.is_labelled(example)]
    rest = (
        "no example has a reference"
        if len(without) == len(examples)
        else f"{len(without)} of {len(examples)} examples have no reference"
    )
    if without and not needs_references(metric):
        text = f"{rest}, and the metric {task.metric.name!r} needs none; demonstrations and fine-tuning learn from replies that it scores 1"
        return Finding(check="references", level="ok", text=text)
    return finding(
        "references",
        without,
        lambda _: (
            f"{rest}, and the metric {task.metric.name!r} compares with one; import answers, or score with a judge or a function"
        ),
        "every example has a reference",
    )


def label_names(task: Task) -> Iterator[Finding]:
    """Name labels that differ in capitals, spaces, hyphens or underscores alone."""
    for text in similar_labels(task.answer.labels):
        yield Finding(check="label names", level="warning", text=text)


def balance(task: Task, examples: Sequence[Example]) -> Iterator[Finding]:
    """Say how the labels are spread, for tasks that have labels."""
    if task.answer.kind != "label" or not examples:
        return
    counts = Counter(str(example.reference) for example in examples)
    label, most = counts.most_common(1)[0]
    rare = [name for name in task.answer.labels if counts[name] < FEW_OF_A_LABEL]
    share = most / len(examples)
    text = (
        f"{label!r} is the reference of {100 * share:.0f} %: always answering it scores that much"
    )
    if rare:
        text += f"; fewer than {FEW_OF_A_LABEL} examples: {', '.join(rare)}"
    yield Finding(
        check="class balance",
        level="warning" if rare or share >= LOPSIDED else "ok",
        text=text,
    )


def reachable(task: Task, unreachable: Sequence[Example]) -> Finding:
    """Name references that no reply could give, as they do not have the answer's form."""
    return finding(
        "reachable answers",
        unreachable,
        lambda count: (
            f"{count} references are not in the form of the answer ({task.answer.kind}), so no reply can be right; correct them or the form"
        ),
        "every reference has the form of the answer",
    )


def passing(
    task: Task,
    answers: Sequence[tuple[Example, Json]],
    metric: Metric | Judged,
    root: Path,
) -> Iterator[Finding]:
    """Name references that the task's own check refuses, or that do not run on its database, where it has one."""
    check = check_of(task, root)
    if check is None or not references_are_answers(metric):
        return
    refused: list[Example] = []
    said = ""
    for example, answer in answers[:CHECKED]:
        try:
            problem = check(example.inputs, answer)
        except TaskError as error:
            problem = str(error)
        if problem:
            refused.append(example)
            said = said or problem
    yield finding(
        "own checks",
        refused,
        lambda count: (
            f"{count} references do not pass the task's own check, so that a right answer would be sent back: {said[:200]}"
        ),
        f"the first {CHECKED:,} references pass the task's own check"
        if len(answers) > CHECKED
        else "every reference passes the task's own check",
    )


def scoring(
    task: Task, metric: Metric | Judged, answers: Sequence[tuple[Example, Json]]
) -> Iterator[Finding]:
    """Say what the metric makes of references: those that it cannot score, its ceiling, and what it cannot tell apart."""
    if isinstance(metric, Judged):
        yield Finding(
            check="metric ceiling",
            level="ok",
            text="not looked at: the metric has judges, and asking them is paid for",
        )
        return
    if not references_are_answers(metric):
        yield Finding(
            check="metric ceiling",
            level="ok",
            text="not looked at: references say what an answer must be like, and are none",
        )
        return
    scores: list[tuple[Example, float]] = []
    failed: list[Example] = []
    said = ""
    for example, answer in answers:
        try:
            scores.append((example, metric.score(example, answer).value))
        except TaskError as error:
            failed.append(example)
            said = said or str(error)
    if failed:
        yield unscorable(metric, failed, len(answers), said)
    yield ceiling(scores)
    scored = {example.id for example, _ in scores}
    yield contrast(task, metric, [pair for pair in answers if pair[0].id in scored])


def unscorable(metric: Metric, failed: Sequence[Example], count: int, said: str) -> Finding:
    """Name every example that the metric cannot score even with its own reference as the answer."""
    share = failed_share_of(metric)
    ids = tuple(dict.fromkeys(example.id for example in failed))
    is_over = len(ids) > max(1, int(share * count))
    outcome = (
        f"more than {100 * share:g} % (metric.options.max_failed_share), so that a measurement ends there"
        if is_over
        else "they are left out of a score, and counted"
    )
    return Finding(
        check="metric errors",
        level="error" if is_over else "warning",
        text=f"the metric cannot score {len(ids)} of {count} examples; {outcome}. The first: {said[:300]}",
        examples=ids,
    )


def ceiling(scores: Sequence[tuple[Example, float]]) -> Finding:
    """Find references that the metric itself does not score 1: the ceiling of every candidate is lower."""
    mean = sum(value for _, value in scores) / max(1, len(scores))
    return finding(
        "metric ceiling",
        [example for example, value in scores if value < 1 - 1e-9],
        lambda count: (
            f"the metric gives {count} references less than 1 when they are the answer; no candidate can score above {100 * mean:.1f}"
        ),
        "the reference itself scores 1 on every example",
        "warning",
    )


def contrast(task: Task, metric: Metric, answers: Sequence[tuple[Example, Json]]) -> Finding:
    """Say which wrong answers the metric takes for right ones: other references, and references that are changed by a little."""
    contrasts = tuple(measure_contrasts(task, metric, answers))
    blind = [item for item in contrasts if item.is_blind]
    others = next((item for item in contrasts if item.change == "other reference"), None)
    chance = (
        "" if others is None else f"; references of other examples score {100 * others.score:.1f}"
    )
    if not blind:
        text = f"the metric tells wrong answers from right ones{chance}"
        if not contrasts:
            text = "there are no references that could be changed"
        return Finding(check="metric contrast", level="ok", text=text, contrasts=contrasts)
    named = "; ".join(
        f"{item.change}: {item.equal} of {item.n}, as {item.after!r} for {item.before!r}"
        for item in blind
    )
    return Finding(
        check="metric contrast",
        level="warning",
        text=f"the metric scores these wrong answers 1: {named}{chance}",
        examples=tuple(dict.fromkeys(item.example for item in blind))[:SHOWN],
        contrasts=contrasts,
    )


def power(examples: Sequence[Example], measured: Sequence[Measurement] = ()) -> Finding:
    """Say how small a difference dev can show at 5 % with a power of 80 %.

    By how the scores of candidates differ that were measured; with fewer than two, by McNemar's test for candidates that disagree
    on a fifth of the examples.
    """
    dev = [example for example in examples if example.split == "dev"]
    groups = len({example.group or example.id for example in dev})
    if not groups:
        return Finding(check="power", level="error", text="dev has no examples")
    what = f"{len(dev)} dev examples" + (f" in {groups} groups" if groups < len(dev) else "")
    if groups < FEWEST_DECIDED:
        text = f"{what} are too few for any verdict: {FEWEST_DECIDED} are the least"
        return Finding(check="power", level="warning", text=text)
    spread = _spread(measured)
    basis = (
        f"where two candidates disagree on {100 * DISAGREEING:.0f} % of them"
        if spread is None
        else f"by how the scores of {len(measured)} measured candidates differ"
    )
    visible = mcnemar_visible(DISAGREEING, groups) if spread is None else spread * REACH / groups**0.5  # fmt: skip
    if visible is None:
        least = _least_visible(groups)
        seen = f"with {what} you can see only differences of {100 * least:.0f} points and more"
    else:
        seen = f"with {what} you can see differences of {100 * visible:.1f} points, {basis}"
    finer = FINE if visible is None or visible > 1.1 * FINE else visible / 2
    enough = (
        mcnemar_n((DISAGREEING + finer) / 2, (DISAGREEING - finer) / 2)
        if spread is None
        else math.ceil((spread * REACH / finer) ** 2)
    )
    return Finding(
        check="power",
        level="warning" if visible is None or visible > COARSE else "ok",
        text=f"{seen}; {enough:,} would show {100 * finer:.1f} points",
    )


def _spread(measured: Sequence[Measurement]) -> float | None:
    """Return the standard deviation of paired differences between candidates, per independent unit; None where it is unknown.

    The median over pairs of one candidate and each other: of those that differ at all.
    """
    if len(measured) < 2:  # a difference takes two
        return None
    spreads = []
    for other in measured[1:]:
        pairs = paired(measured[0], other)
        error, units = standard_error(pairs.differences, pairs.clusters)
        if error > 0:
            spreads.append(error * math.sqrt(units))
    return median(spreads) if spreads else None


def _least_visible(groups: int) -> float:
    """Return the smallest difference that is seen where one candidate is never worse than the other."""
    shares = [k / 100 for k in range(1, 101)]
    return next(share for share in shares if mcnemar_power(share, 0.0, groups) >= POWER)
