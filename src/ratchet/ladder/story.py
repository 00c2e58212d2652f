"""The story of a ladder, for whoever was not there: what a report shows, as a record, as JSON, and as Markdown."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ratchet.core import Diagnosis, Example, Json, Opening, Step, Task
from ratchet.core.records import written
from ratchet.ladder.changes import Changed
from ratchet.ladder.edits import Edit
from ratchet.ladder.rung_text import cost_text, gain_text, score_text
from ratchet.measure import Measurement, number_text
from ratchet.measure.front import Standing

__all__ = [
    "ChampionPrompt",
    "Story",
    "json_report",
    "markdown_report",
    "spend_of",
    "told_diagnoses",
]


@dataclass(frozen=True, kw_only=True)
class ChampionPrompt:
    """The messages that the champion sends for one example."""

    example: Example
    messages: Sequence[Mapping[str, Json]]
    note: str = ""
    """What is otherwise in them than it is sent; empty where they are exact."""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Return the role and the text of each message, a tool call as it is written."""
        return [
            (
                str(message["role"]),
                "\n".join(filter(None, (written(message.get("content")), _calls_text(message)))),
            )
            for message in self.messages
        ]


def _calls_text(message: Mapping[str, Json]) -> str:
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return "\n".join(f"{call['name']}({call['arguments']})" for call in calls)


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a report shows."""

    task: Task
    steps: Sequence[Step]
    changes: Mapping[int, Sequence[Changed]] = field(default_factory=dict)
    """For rungs by number, examples that were fixed or broken."""
    edits: Mapping[int, Sequence[Edit]] = field(default_factory=dict)
    """For rungs by number, what the challenger changed in the champion."""
    warnings: Sequence[str] = ()
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    """By candidate."""
    standings: Sequence[Standing] = ()
    """All candidates that answered the whole of dev."""
    openings: Sequence[Opening] = ()
    """Of the sealed test split."""
    made_at: str = ""
    """When the report was made, UTC, ISO 8601; empty where nobody says so."""
    times: Mapping[int, str] = field(default_factory=dict)
    """For rungs by number, when they were made."""
    prompt: ChampionPrompt | None = None
    commands: Sequence[str] = ()
    """The command lines that made the task's examples and rungs, in order; empty where they were not written down."""
    source: str = ""
    """Where the examples came from, in the user's words."""

    @property
    def champion(self) -> Step | None:
        """Return the last rung that was kept."""
        return next((step for step in reversed(self.steps) if step.kept), None)

    @property
    def date_line(self) -> str:
        """Return when the report was made, and when the rungs, in words; empty where nobody knows."""
        days = sorted(time[:10] for time in self.times.values())
        report = (
            f"Report of {self.made_at.replace('T', ' ').replace('+00:00', ' UTC')}."
            if self.made_at
            else ""
        )
        if not days:
            return report
        span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        return f"{report} Climbed {span}.".strip()

    @property
    def recipe(self) -> list[str]:
        """Return the commands that made this ladder, as they were typed; where they were not written down, the nearest to them."""
        name = self.task.name
        made = list(self.commands)
        if not any(shlex.split(line)[1] in ("climb", "try") for line in made):
            levers = dict.fromkeys(step.lever for step in self.steps if step.lever != "start")
            made = [line for line in made if shlex.split(line)[1] != "final"]
            if not made and self.source:
                made = [shlex.join(["ratchet", "import", self.source, "--task", name])]
            chosen = ["--levers", ",".join(levers)] if levers else []
            made += [
                "# the options of this one were not written down",
                shlex.join(["ratchet", "climb", name, *chosen]),
            ]
        if self.openings and not any(
            shlex.split(line)[1] == "final" for line in made if line[0] != "#"
        ):
            made.append(f"ratchet final {name}")
        return [*made, f"ratchet ladder {name} --report report.html"]


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
        "made_at": story.made_at,
        "instructions": story.task.instructions,
        "prompt": _prompt_plain(story.prompt),
        "champion": story.champion.candidate_id if story.champion else None,
        "steps": [_step_plain(story, step) for step in story.steps],
        "diagnoses": {
            title: {**one.model_dump(mode="json"), "cause": one.cause}
            for title, one in told_diagnoses(story)
        },
        "front": [standing_plain(one) for one in story.standings],
        "final": [{**one.model_dump(mode="json"), "sentence": one.sentence} for one in story.openings],
        "spend": spend_of(story),
        "warnings": list(story.warnings),
        "reproduce": story.recipe,
    }  # fmt: skip


def _prompt_plain(prompt: ChampionPrompt | None) -> Json:
    if prompt is None:
        return None
    return {"example": prompt.example.id, "messages": list(prompt.messages), "note": prompt.note}


def _step_plain(story: Story, step: Step) -> dict[str, Json]:
    """Return a rung with when it was made, what it changed, and the examples that it fixed or broke."""
    return {
        **step.model_dump(mode="json"),
        "made_at": story.times.get(step.number),
        "edits": [
            {"part": edit.part, "pieces": [list(piece) for piece in edit.pieces]}
            for edit in story.edits.get(step.number, ())
        ],
        "changes": [
            {
                "example": one.example.id,
                "before": one.before.output,
                "after": one.after.output,
                "before_score": one.before_score,
                "after_score": one.after_score,
            }
            for one in story.changes.get(step.number, ())
        ],
    }


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
    parts = [
        _heading(story),
        _ladder_section(story.steps),
        _verdicts_section(story.steps),
        _prompt_section(story.prompt),
        *(_diagnosis_section(title, found) for title, found in told_diagnoses(story)),
        _front_section(story.standings),
        _final_section(story),
        *(_edits_section(number, edits) for number, edits in story.edits.items() if edits),
        ["## Do it again", "", *_fenced("\n".join(story.recipe), "sh")],
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts if part)


def _heading(story: Story) -> list[str]:
    champion = story.champion
    lines = [f"# Ratchet: {story.task.name}", ""]
    if story.date_line:
        lines += [story.date_line, ""]
    if champion:
        lines += [
            f"Champion `{champion.candidate_id}` at {score_text(champion)} (points of 100 on dev): {champion.what}",
            "",
        ]
    for warning in story.warnings:
        lines += [f"> {warning}", ""]
    return [*lines, "## The task", "", *_fenced(story.task.instructions)]


def _ladder_section(steps: Sequence[Step]) -> list[str]:
    lines = [
        "## The ladder",
        "",
        "| | lever | what | score | gain | kept |",
        "|---|---|---|---|---|---|",
    ]
    for step in steps:
        mark = "✓" if step.kept else "✗"
        lines.append(
            f"| {step.number} | {step.lever} | {cell(step.what)} | {score_text(step)} | {gain_text(step)} | {mark} |"
        )
    return lines


def _verdicts_section(steps: Sequence[Step]) -> list[str]:
    told = [
        f"- {step.number} {step.lever}: {step.verdict.sentence}" for step in steps if step.verdict
    ]
    return ["## Verdicts", "", *told] if told else []


def _prompt_section(prompt: ChampionPrompt | None) -> list[str]:
    if prompt is None:
        return []
    lines = [
        "## The champion's prompt",
        "",
        "What it sends for the first example of dev, word for word.",
        "",
    ]
    if prompt.note:
        lines += [prompt.note, ""]
    for role, content in prompt.lines:
        lines += [f"{role}:", "", *_fenced(content), ""]
    return lines[:-1]


def _diagnosis_section(title: str, found: Diagnosis) -> list[str]:
    lines = [
        f"## Why answers fail, {title}",
        "",
        f"{found.failures} of {found.n} train answers.",
        *([""] if found.shares else []),
    ]
    for share in found.shares:
        low, high = 100 * share.interval.low, 100 * share.interval.high
        lines.append(f"- {share.cause}: {100 * share.share:.0f} % [{low:.0f}, {high:.0f}]")
    if found.clusters:
        lines += ["", "Failures that are alike:", ""]
        lines += [f"- {cluster.sentence}" for cluster in found.clusters]
    return lines


def _front_section(standings: Sequence[Standing]) -> list[str]:
    if not standings:
        return []
    lines = [
        "## Quality, cost and latency",
        "",
        "| candidate | score | tokens a call | s | |",
        "|---|---|---|---|---|",
    ]
    for place in standings:
        measured = place.measured
        mark = "" if place.dominated_by else "on the front"
        lines.append(
            f"| `{measured.candidate.id}` {cell(measured.candidate.note)} | {100 * measured.score:.1f} "
            f"| {number_text(measured.tokens_a_call, '.0f')} | {number_text(measured.latency(0.5), '.2f')} | {mark} |"
        )
    return lines


def _final_section(story: Story) -> list[str]:
    spend = spend_of(story)
    cost = "unknown cost" if spend["cost_usd"] is None else cost_text(spend["cost_usd"])
    return [
        "## On the sealed test split",
        "",
        *([one.sentence for one in story.openings] or ["Not opened yet."]),
        "",
        f"Spent: {spend['calls']:,} calls, {spend['tokens']:,} tokens, {spend['seconds']:,.0f} s, {cost}.",
    ]


def _edits_section(number: int, edits: Sequence[Edit]) -> list[str]:
    """Return what a rung changed, as git writes a difference word by word."""
    marks = {"same": "{}", "out": "[-{}-]", "in": "{{+{}+}}"}
    lines = [f"## What rung {number} changed"]
    for edit in edits:
        text = "".join(marks[kind].format(piece) for kind, piece in edit.pieces)
        lines += ["", f"{edit.part}:", "", *_fenced(text)]
    return lines


def _fenced(text: str, language: str = "") -> list[str]:
    """Return a text as a block of code, whatever rows of backticks it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
