"""The story of a ladder, for whoever was not there: what a report shows, as a record, as JSON, and as Markdown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ratchet.core import Diagnosis, Json, Opening, Step, Task
from ratchet.ladder.edits import Edit
from ratchet.measure import Measurement, number_text
from ratchet.measure.front import Standing

__all__ = ["Story", "json_report", "markdown_report", "spend_of", "told_diagnoses"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a report shows."""

    task: Task
    steps: Sequence[Step]
    changes: Mapping[int, Sequence[object]] = field(default_factory=dict)
    """For rungs by number, examples that were fixed or broken (`Changed`)."""
    edits: Mapping[int, Sequence[Edit]] = field(default_factory=dict)
    """For rungs by number, what the challenger changed in the champion."""
    warnings: Sequence[str] = ()
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    """By candidate."""
    standings: Sequence[Standing] = ()
    """All candidates that answered the whole of dev."""
    openings: Sequence[Opening] = ()
    """Of the sealed test split."""

    @property
    def champion(self) -> Step | None:
        """Return the last rung that was kept."""
        return next((step for step in reversed(self.steps) if step.kept), None)

    @property
    def recipe(self) -> list[str]:
        """Return the commands that make the same ladder again from the same workspace."""
        name = self.task.name
        return [
            f"ratchet show {self.champion.candidate_id} --task {name}" if self.champion else "",
            f"ratchet measure {name}",
            f"ratchet ladder {name} --report report.html",
            f"ratchet final {name}",
        ]


def told_diagnoses(story: Story) -> list[tuple[str, Diagnosis]]:
    """Return the diagnosis at the start and that of the champion, each under its title; one where they are the same."""
    start = story.steps[0].candidate_id if story.steps else ""
    end = story.champion.candidate_id if story.champion else ""
    wanted = {"before": start, "after": end} if start != end else {"the start": start}
    return [(title, story.diagnoses[name]) for title, name in wanted.items() if name in story.diagnoses]  # fmt: skip


def spend_of(story: Story) -> dict[str, Json]:
    """Return what all rungs took together; dollars are None where a price is unknown."""
    costs = [step.spend.cost_usd for step in story.steps]
    known = [cost for cost in costs if cost is not None]
    return {
        "calls": sum(step.spend.calls for step in story.steps),
        "tokens": sum(step.spend.tokens for step in story.steps),
        "seconds": round(sum(step.spend.seconds for step in story.steps), 1),
        "cost_usd": sum(known) if len(known) == len(costs) else None,
    }


def json_report(story: Story) -> dict[str, Json]:
    """Return the story as JSON."""
    return {
        "task": story.task.name,
        "champion": story.champion.candidate_id if story.champion else None,
        "steps": [step.model_dump(mode="json") for step in story.steps],
        "diagnoses": {
            title: {**one.model_dump(mode="json"), "cause": one.cause}
            for title, one in told_diagnoses(story)
        },
        "front": [standing_plain(one) for one in story.standings],
        "final": [{**one.model_dump(mode="json"), "sentence": one.sentence} for one in story.openings],
        "spend": spend_of(story),
        "warnings": list(story.warnings),
        "reproduce": [line for line in story.recipe if line],
    }  # fmt: skip


def standing_plain(one: Standing) -> dict[str, Json]:
    measured: Measurement = one.measured
    return {
        "candidate": measured.candidate.id,
        "what": measured.candidate.note,
        "score": measured.score,
        "cost_per_1000": one.cost_per_1000,
        "tokens_a_call": number_or_none(measured.tokens_a_call),
        "latency_s": number_or_none(measured.latency(0.5)),
        "dominated_by": one.dominated_by,
    }


def number_or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def markdown_report(story: Story) -> str:
    """Return the story as Markdown."""
    from ratchet.ladder.report import gain_text, score_text  # the page's own words for figures

    champion = story.champion
    lines = [f"# Ratchet: {story.task.name}", ""]
    if champion:
        lines += [f"Champion `{champion.candidate_id}` at {score_text(champion)} (points of 100 on dev): {champion.what}", ""]  # fmt: skip
    lines += [f"> {warning}" for warning in story.warnings]
    lines += ["## The ladder", "", "| | lever | what | score | gain | kept |", "|---|---|---|---|---|---|"]  # fmt: skip
    for step in story.steps:
        mark = "✓" if step.kept else "✗"
        lines.append(f"| {step.number} | {step.lever} | {cell(step.what)} | {score_text(step)} | {gain_text(step)} | {mark} |")  # fmt: skip
    for title, found in told_diagnoses(story):
        lines += ["", f"## Why answers fail, {title}", "", f"{found.failures} of {found.n} train answers.", ""]  # fmt: skip
        lines += [f"- {one.cause}: {100 * one.share:.0f} % [{100 * one.interval.low:.0f}, {100 * one.interval.high:.0f}]" for one in found.shares]  # fmt: skip
    if story.standings:
        lines += ["", "## Quality, cost and latency", "", "| candidate | score | tokens a call | s | |", "|---|---|---|---|---|"]  # fmt: skip
        for place in story.standings:
            m = place.measured
            lines.append(f"| `{m.candidate.id}` {cell(m.candidate.note)} | {100 * m.score:.1f} | {number_text(m.tokens_a_call, '.0f')} | {number_text(m.latency(0.5), '.2f')} | {'' if place.dominated_by else 'on the front'} |")  # fmt: skip
    lines += ["", "## On the sealed test split", ""]
    lines += [one.sentence for one in story.openings] or ["Not opened yet."]
    spend = spend_of(story)
    cost = "unknown" if spend["cost_usd"] is None else f"${spend['cost_usd']:.2f}"
    lines += ["", f"Spent: {spend['calls']:,} calls, {spend['tokens']:,} tokens, {spend['seconds']:,.0f} s, {cost}.", ""]  # fmt: skip
    lines += ["## Reproduce", "", "```sh", *(line for line in story.recipe if line), "```", ""]
    return "\n".join(lines)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
