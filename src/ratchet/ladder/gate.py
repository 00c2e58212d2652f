"""The gate: may a changed candidate go in? One paired verdict against the champion, for a continuous-integration run."""

from dataclasses import dataclass

from ratchet.core import Task, Verdict
from ratchet.ladder.admit import distrust, refusals
from ratchet.ladder.changes import Changed
from ratchet.measure import Bench, Measurement, compare

__all__ = ["Gate", "gate", "markdown_of"]

SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the gate says."""

    verdict: Verdict
    refused: list[str]
    """Conditions of the task's policy that the candidate breaks."""
    opens: bool


def gate(bench: Bench, champion: Measurement, challenger: Measurement, *, strict: bool) -> Gate:
    """Return whether a candidate may go in: not proven worse, and within the policy.

    Args:
        bench: With the task, its margin and its policy.
        champion: Measured on dev.
        challenger: The same.
        strict: It must be proven not worse than by the margin, or better; "no evidence" keeps the gate shut.
    """
    task = bench.task
    verdict = compare(champion, challenger, margin=task.margin)
    refused = refusals(task.admit, champion, challenger) + distrust(bench, champion.examples)
    for measured in (champion, challenger):
        lacking = measured.stopped or (f"{len(measured.missing)} answers are missing" if measured.missing else "")  # fmt: skip
        if lacking:  # what was not measured proves nothing
            refused.append(f"{measured.candidate.id} is not measured to its end: {lacking}")
    good = ("better", "not worse") if strict else ("better", "not worse", "no evidence")
    return Gate(verdict=verdict, refused=refused, opens=verdict.decision in good and not refused)


def markdown_of(found: Gate, task: Task, changes: list[Changed]) -> str:
    """Return the gate's words as a comment in Markdown."""
    verdict, mark = found.verdict, "✅" if found.opens else "❌"
    lines = [
        f"### {mark} Ratchet: `{task.name}`",
        "",
        f"**{verdict.sentence}**",
        "",
        "| | score on dev | examples |",
        "|---|---|---|",
        f"| champion `{verdict.champion_id}` | {100 * verdict.champion_score:.1f} | {verdict.n} |",
        f"| this change `{verdict.challenger_id}` | {100 * verdict.challenger_score:.1f} | {verdict.n} |",
        "",
        f"Won {verdict.wins}, lost {verdict.losses}, tied {verdict.ties}; difference {100 * verdict.effect:+.1f} points, 95 % interval {100 * verdict.interval.low:+.1f} to {100 * verdict.interval.high:+.1f}.",
        *(f"- not admitted: {reason}" for reason in found.refused),
    ]
    lost = [one for one in changes if one.gain < 0]
    if lost:
        lines += ["", "<details><summary>Examples that it breaks</summary>", ""]
        for one in lost:
            lines.append(f"- `{one.example.name or one.example.id}`: expected {quoted(one.example.reference)}, got {quoted(one.after.answer)} (was {quoted(one.before.answer)})")  # fmt: skip
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def quoted(answer: object) -> str:
    return "`" + str(answer).replace("`", "'").replace("\n", " ")[:SHOWN] + "`"
