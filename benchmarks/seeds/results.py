"""The figures of a run: stages, kept in results.json rung by rung, and the table that README.md shows of them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ratchet.core import Json, Record

__all__ = ["RungResult", "Stage", "load_results", "merge_results", "render_table", "update_readme"]

BEGIN, END = "<!-- figures: written by run.py -->", "<!-- end of figures -->"
HEADINGS = (
    "rung",
    "what",
    "score",
    "gain",
    "verdict",
    "n",
    "prompt + answer tokens",
    "s an answer",
    "also",
)


class Stage(Record):
    """One candidate, measured on the dev examples of a rung, and its verdict against what stood before."""

    what: str
    score: float | None = None
    """In [0, 1]; None where it was not measured, and `note` says why."""
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    """Against the best before it, in score units."""
    gain_low: float | None = None
    gain_high: float | None = None
    level: float | None = None
    """Of the gain's interval: a ladder's verdicts share out 5 %."""
    decision: str = ""
    kept: bool = False
    n: int = 0
    prompt_tokens: float | None = None
    """A call, in the mean."""
    completion_tokens: float | None = None
    seconds: float | None = None
    """An answer, all examples asked together on this machine; None where the answers were there before."""
    seconds_to_make: float | None = None
    """What the lever took in all, training and races too."""
    figures: dict[str, Json] = {}
    """Beside the score, by name."""
    note: str = ""


class RungResult(Record):
    """What one rung came to."""

    title: str
    goal: str
    model: str
    date: str
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()


def load_results(path: Path) -> dict[str, RungResult]:
    """Return the rungs of a results file by name; none where there is no file."""
    if not path.is_file():
        return {}
    body = json.loads(path.read_text("utf-8"))
    return {name: RungResult.model_validate(rung) for name, rung in body["rungs"].items()}


def merge_results(path: Path, name: str, result: RungResult, order: Sequence[str]) -> None:
    """Write one rung into a results file, in place of what stood there of it; the others stay."""
    rungs = {**load_results(path), name: result}
    body = {
        "rungs": {
            key: rungs[key].model_dump(mode="json", exclude_defaults=True)
            for key in order
            if key in rungs
        }
    }
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")
    beside.replace(path)


def render_table(rungs: Mapping[str, RungResult], titles: Mapping[str, str]) -> str:
    """Return the figures as a Markdown table; a rung of `titles` that has none is in it too, and says so."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    for name, title in titles.items():
        stages = rungs[name].stages if name in rungs else (Stage(what=title, note="not run"),)
        lines += [_line(name if number == 0 else "", stage) for number, stage in enumerate(stages)]
    return "\n".join(lines)


def update_readme(path: Path, table: str, rungs: Mapping[str, RungResult]) -> None:
    """Put the table, and what each rung has to say, between the marks of a README.

    Raises: ValueError if the marks are not there.
    """
    text = path.read_text("utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} lacks the marks {BEGIN!r} and {END!r}; put them in")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    notes = [
        f"- **{name}** ({rung.date}, `{rung.model}`). Goal: {rung.goal} {' '.join(rung.notes)}".rstrip()
        for name, rung in rungs.items()
    ]
    body = "\n".join([BEGIN, "", table, "", *notes, "", END])
    path.write_text(f"{head}{body}{tail}", "utf-8")


def _line(name: str, stage: Stage) -> str:
    cells = (
        f"**{name}**" if name else "",
        stage.what,
        _score(stage),
        _gain(stage),
        f"{stage.decision}{', kept' if stage.kept and stage.decision else ''}",
        str(stage.n or ""),
        _tokens(stage),
        "" if stage.seconds is None else f"{stage.seconds:.2f}",
        _also(stage),
    )
    return f"| {' | '.join(cells)} |"


def _score(stage: Stage) -> str:
    if stage.score is None or stage.low is None or stage.high is None:
        return "–"
    return f"{100 * stage.score:.1f} [{100 * stage.low:.1f}, {100 * stage.high:.1f}]"


def _gain(stage: Stage) -> str:
    if stage.gain is None or stage.gain_low is None or stage.gain_high is None:
        return ""
    return f"{100 * stage.gain:+.1f} [{100 * stage.gain_low:+.1f}, {100 * stage.gain_high:+.1f}]"


def _tokens(stage: Stage) -> str:
    if stage.prompt_tokens is None or stage.completion_tokens is None:
        return ""
    return f"{stage.prompt_tokens:.0f} + {stage.completion_tokens:.1f}"


def _also(stage: Stage) -> str:
    parts = [f"{name} {_shown(value)}" for name, value in stage.figures.items()]
    if stage.seconds_to_make is not None:
        parts.append(f"made in {stage.seconds_to_make:.0f} s")
    return "; ".join([*parts, *([stage.note] if stage.note else [])])


def _shown(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
