"""How comparisons look on a terminal: verdicts, standings, races, rankings, judges; and the same as JSON."""

import math
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.text import Text

from ratchet.cli.show import err, out, short, shown, warn
from ratchet.cli.terminal import Table
from ratchet.core import Candidate, Json, Trial, Verdict, points_text
from ratchet.ladder import Changed, cost_text
from ratchet.measure import (
    Calibration,
    Contest,
    Duels,
    Measurement,
    PooledVerdict,
    Race,
    Rating,
    cheapest_not_worse,
    grade_text,
    number_text,
    standings,
)

__all__ = [
    "calibration_plain",
    "contest_line",
    "pooled_plain",
    "pooled_text",
    "race_plain",
    "race_table",
    "ratings_plain",
    "ratings_table",
    "show_calibration",
    "show_changes",
    "show_duels",
    "show_pooled",
    "show_verdict",
    "standings_plain",
    "standings_table",
    "verdict_plain",
    "verdicts_table",
]


def show_verdict(verdict: Verdict, a: str, b: str, *, grades: Sequence[Json] = ()) -> None:
    """Print a verdict in words and figures; with the judges' grades, scores in their own scale too."""
    out.print(f"[bold]{verdict.sentence}[/]")
    sides = (("A", verdict.champion_score, a), ("B", verdict.challenger_score, b))
    told = [
        f"{side} {100 * score:.1f}{graded(score, grades)} ({name})" for side, score, name in sides
    ]
    out.print("   ".join(told), markup=False)
    out.print(
        f"B won {verdict.wins}, lost {verdict.losses}, tied {verdict.ties}; {verdict.method}, p = {verdict.p_value:.3g}; margin {100 * verdict.margin:.1f} points"
    )
    notes = []
    if verdict.power is not None:
        notes.append(
            f"a new sample of this size would settle a difference like this with {100 * verdict.power:.0f} % chance"
            + (
                f", and one of {100 * verdict.visible:.1f} points with 80 %"
                if verdict.visible
                else ""
            )
        )
    if notes:
        out.print(Text("; ".join(notes), style="dim"))


def graded(score: float, grades: Sequence[Json]) -> str:
    """Return what stands beside a score: its grade in the judges' own scale, where there is one."""
    grade = grade_text(score, grades)
    return f", {grade}" if grade else ""


def show_pooled(verdicts: Sequence[PooledVerdict]) -> None:
    """Print the verdicts on figures of the whole split, a figure a line."""
    for verdict in verdicts:
        out.print(pooled_text(verdict), markup=False)


def pooled_text(verdict: PooledVerdict) -> str:
    """Return the verdict on a figure of the whole split in words."""
    name = verdict.name.replace("_", " ")
    text = f"{name}: A {verdict.champion:.3f}, B {verdict.challenger:.3f}, {verdict.effect:+.3f}"
    interval = verdict.interval
    if math.isnan(interval.low):
        return f"{text}; too few examples for an interval"
    return f"{text} ({interval.low:+.3f} to {interval.high:+.3f}), {verdict.decision}"


def pooled_plain(verdicts: Sequence[PooledVerdict]) -> dict[str, Json]:
    """Return the verdicts on figures of the whole split as JSON values, by the figure's name."""
    return {
        verdict.name: {
            "champion": verdict.champion,
            "challenger": verdict.challenger,
            "effect": verdict.effect,
            "low": verdict.interval.low,
            "high": verdict.interval.high,
            "level": verdict.interval.level,
            "decision": verdict.decision,
        }
        for verdict in verdicts
    }


def verdict_plain(verdict: Verdict, changes: Sequence[Changed]) -> dict[str, Json]:
    """Return a verdict as JSON values, with its sentence and the ids of examples that each side wins."""
    gains = {change.example.id: change.gain for change in changes}
    return {
        **verdict.model_dump(mode="json"),
        "sentence": verdict.sentence,
        "a_wins": [name for name, gain in gains.items() if gain < 0],
        "b_wins": [name for name, gain in gains.items() if gain > 0],
    }


def verdicts_table(verdicts: Sequence[Verdict], names: Mapping[str, str]) -> Table:
    """Return the verdicts of several challengers against one champion, a challenger a line."""
    champion = names[verdicts[0].champion_id]
    table = Table(
        title=f"Against {escape(champion)}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        caption="all verdicts hold together at 95 % (Holm); each interval has the level of its verdict", caption_justify="left",
    )  # fmt: skip
    for name in ("challenger", "verdict", "effect", "interval", "won/lost/tied", "p"):
        table.add_column(name, justify="left" if name in ("challenger", "verdict") else "right")
    for verdict in verdicts:
        low, high = 100 * verdict.interval.low, 100 * verdict.interval.high
        table.add_row(
            Text(names[verdict.challenger_id]),
            verdict.decision + (f" ({verdict.missing} missing)" if verdict.missing else ""),
            f"{100 * verdict.effect:+.1f}",
            f"{low:+.1f} to {high:+.1f}",
            f"{verdict.wins}/{verdict.losses}/{verdict.ties}",
            f"{verdict.adjusted_p:.3g}",
        )
    return table


def name_and_id(candidate: Candidate, names: Mapping[str, str]) -> str:
    """Return how a table calls a candidate: first a name that commands take, then its id, or its label where that is no name."""
    name = names.get(candidate.id, candidate.id)
    if name != candidate.id:
        return f"{name} ({candidate.id})"
    return f"{candidate.id} ({candidate.note})" if candidate.note else candidate.id


def standings_table(
    measured: Sequence[Measurement], names: Mapping[str, str], margin: float
) -> Table:
    """Return quality, cost and latency, a candidate a line, and which is the cheapest that is not worse than the best."""
    cheapest = cheapest_not_worse(measured, margin=margin).candidate
    table = Table(
        title="Quality, cost, latency", title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        caption=f"cheapest that is not worse than the best by {100 * margin:.1f} points: {escape(name_and_id(cheapest, names))}",
        caption_justify="left",
    )  # fmt: skip
    for name in ("candidate", "score", "per 1,000 calls", "tokens a call", "p50 s", "p95 s", ""):
        table.add_column(name, justify="left" if name in ("candidate", "") else "right")
    for standing in standings(measured):
        one, by = standing.measured, standing.dominated_by
        table.add_row(
            Text(name_and_id(one.candidate, names)),
            points_text(one.score, one.interval),
            cost_text(standing.cost_per_1000),
            number_text(one.tokens_a_call, ".0f"),
            number_text(one.latency(0.5), ".3f"),
            number_text(one.latency(0.95), ".3f"),
            "on the front" if by is None else Text(f"dominated by {by}", style="dim"),
        )
    return table


def standings_plain(measured: Sequence[Measurement], margin: float) -> dict[str, Json]:
    """Return the standings, and the id of the cheapest that is not worse than the best, as JSON values."""
    return {
        "standings": [
            {
                **standing.measured.plain(),
                "cost_per_1000_usd": standing.cost_per_1000,
                "tokens_a_call": standing.measured.tokens_a_call,
                "dominated_by": standing.dominated_by,
            }
            for standing in standings(measured)
        ],
        "cheapest_not_worse": cheapest_not_worse(measured, margin=margin).candidate.id,
    }


def race_table(race: Race, names: Mapping[str, str]) -> Table:
    """Return how a race ended, a candidate a line."""
    table = Table(
        title="Race", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left",
        caption="score and interval on all examples as the model completes them; chance: to be the best, or within the tolerance of it",
    )  # fmt: skip
    for name in ("", "candidate", "score", "interval", "chance", "answers", "tokens a call"):
        table.add_column(name, justify="left" if name == "candidate" else "right")
    for rank, place in enumerate(race.places, 1):
        measured = race.measured[place.candidate]
        table.add_row(
            str(rank),
            Text(name_and_id(measured.candidate, names)),
            f"{100 * place.estimate:.1f}",
            f"{100 * place.low:.1f} to {100 * place.high:.1f}",
            f"{100 * place.chance:.0f} %",
            f"{len(measured.outcomes)} of {len(measured.examples)}",
            f"{measured.tokens_a_call:.0f}",
        )
    return table


def race_plain(race: Race) -> dict[str, Json]:
    """Return a race as JSON values."""
    return {
        "sentence": race.sentence,
        "pick": race.pick.candidate.id,
        "tolerance": race.tolerance,
        "regret": race.regret,
        "level": race.level,
        "answered": race.answered,
        "grid": race.grid,
        "spend": race.spend.model_dump(mode="json"),
        "stopped": race.stopped,
        "places": [
            {
                "candidate": race.measured[place.candidate].candidate.id,
                "note": race.measured[place.candidate].candidate.note,
                "estimate": place.estimate,
                "low": place.low,
                "high": place.high,
                "chance": place.chance,
                "answered": place.answered,
                "missing": len(race.measured[place.candidate].missing),
            }
            for place in race.places
        ],
    }


def show_calibration(found: Calibration, names: Mapping[str, str]) -> None:
    """Print how a judge compares with people."""
    agreed = found.agreement
    out.print(
        f"[bold]judge and people agree on {100 * agreed.share:.0f} % of {agreed.n} grades[/]; Cohen's kappa {figure(agreed.kappa)}, "
        f"Krippendorff's alpha {figure(agreed.alpha)}, between people {figure(agreed.between_people)}"
    )
    table = Table("people \\ judge", *map(str, found.grades), box=SIMPLE_HEAD, pad_edge=False)
    for grade, row in zip(found.grades, agreed.table, strict=True):
        table.add_row(str(grade), *(f"{count:.0f}" for count in row))
    out.print(table)
    for lean in found.leans:
        low, high = 100 * lean.interval.low, 100 * lean.interval.high
        sure = "" if lean.is_proven else " (no evidence)"
        out.print(
            f"kinder to {lean.what} by {100 * lean.effect:+.1f} points [{low:+.1f}, {high:+.1f}]{sure}",
            markup=False,
        )
    scores = Table(
        title="Scores as people would give them",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("candidate", "judged", "corrected", "interval", "graded by people"):
        scores.add_column(name, justify="left" if name == "candidate" else "right")
    for one in found.corrected:
        scores.add_row(
            Text(name_and_id(one.measured.candidate, names)),
            f"{100 * one.measured.score:.1f}",
            "n/a" if math.isnan(one.score) else f"{100 * one.score:.1f}",
            "too few"
            if math.isnan(one.score)
            else f"{100 * one.interval.low:.1f} to {100 * one.interval.high:.1f}",
            f"{one.graded} of {len(one.measured.outcomes)}",
        )
    out.print(scores)
    warn(found.warnings)


def figure(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def calibration_plain(found: Calibration) -> dict[str, Json]:
    """Return a calibration as JSON values."""
    agreed = found.agreement
    return {
        "n": agreed.n,
        "agreement": agreed.share,
        "kappa": agreed.kappa,
        "alpha": agreed.alpha,
        "alpha_between_people": agreed.between_people,
        "grades": list(found.grades),
        "confusion": agreed.table.tolist(),
        "leans": [
            {"what": lean.what, "effect": lean.effect, **lean.interval.model_dump(mode="json")}
            for lean in found.leans
        ],
        "scores": [
            {
                "candidate": one.measured.candidate.id,
                "judged": one.measured.score,
                "corrected": one.score,
                "graded": one.graded,
                "n": len(one.measured.outcomes),
                **one.interval.model_dump(mode="json"),
            }
            for one in found.corrected
        ],
        "warnings": found.warnings,
    }


def ratings_table(
    ratings: Sequence[Rating], measured: Sequence[Measurement], names: Mapping[str, str]
) -> Table:
    """Return the ranking, a candidate a line."""
    table = Table(
        title="Ranking", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left",
        caption="strength: Bradley-Terry on Elo's scale; ranks and intervals: 95 % of bootstrap samples over examples",
    )  # fmt: skip
    for name in ("rank", "candidate", "strength", "interval", "Elo", "won/lost/tied", "score"):
        table.add_column(name, justify="left" if name == "candidate" else "right")
    for rating in ratings:
        one = measured[rating.candidate]
        table.add_row(
            rating.ranks,
            Text(name_and_id(one.candidate, names)),
            f"{rating.strength:.0f}",
            f"{rating.interval.low:.0f} to {rating.interval.high:.0f}",
            f"{rating.elo:.0f}",
            f"{rating.wins}/{rating.losses}/{rating.ties}",
            number_text(100 * one.score, ".1f"),
        )
    return table


def show_duels(duels: Duels) -> None:
    """Print how far a judge of pairs can be trusted."""
    share, interval = duels.position
    out.print(
        f"{duels.asked} pairs were judged in both orders; on {duels.contradictions} the judge contradicted itself: ties. "
        f"It chose what stood first in {100 * share:.0f} % of its votes ({100 * interval.low:.0f} to {100 * interval.high:.0f})"
        if duels.asked
        else "no pair needed a judge"
    )
    if duels.without_vote:
        err.print(f"[yellow]{duels.without_vote} pairs got no usable vote[/] and are left out")
    if duels.stopped:
        err.print(f"[yellow]stopped: {duels.stopped}[/]; run the same command again to go on")


def ratings_plain(
    ratings: Sequence[Rating], measured: Sequence[Measurement], duels: Duels | None
) -> dict[str, Json]:
    """Return a ranking as JSON values."""
    plain: dict[str, Json] = {
        "ratings": [
            {
                "candidate": measured[rating.candidate].candidate.id,
                "score": measured[rating.candidate].score,
                "strength": rating.strength,
                "low": rating.interval.low,
                "high": rating.interval.high,
                "elo": rating.elo,
                "rank": rating.rank,
                "best_rank": rating.best_rank,
                "worst_rank": rating.worst_rank,
                "wins": rating.wins,
                "losses": rating.losses,
                "ties": rating.ties,
            }
            for rating in ratings
        ]
    }
    if duels:
        share, interval = duels.position
        plain["judge"] = {
            "pairs": duels.asked,
            "contradictions": duels.contradictions,
            "without_vote": duels.without_vote,
            "first": share,
            **interval.model_dump(mode="json"),
            "stopped": duels.stopped,
        }
    return plain


def contest_line(contest: Contest) -> str:
    """Return where a contest stands, in a line."""
    evidence, verdict = contest.evidence, contest.verdict()
    low, high = 100 * verdict.interval.low, 100 * verdict.interval.high
    text = f"{verdict.n} examples: {100 * verdict.effect:+.1f} points ({low:+.1f} to {high:+.1f}), evidence {evidence.e_value():.3g} of {1 / (1 - evidence.level):.0f}, {verdict.decision}"
    if evidence.is_settled() or (expected := contest.expected_cost()) is None:
        return text
    calls, dollars = expected
    return f"{text}; at this rate about {calls} more calls" + (
        f", {cost_text(dollars)}" if dollars else ""
    )


def show_changes(changes: Sequence[Changed], *, grades: Sequence[Json] = ()) -> None:
    """Print examples that B wins, and examples that A wins, with both scores and the reasons that the metric gave."""
    for title, sign in (("B wins", 1), ("A wins", -1)):
        rows = [change for change in changes if sign * change.gain > 0]
        if not rows:
            continue
        table = Table(title=title, title_justify="left", show_lines=True, lead=0)
        for name in ("example", "reference", "A", "B"):
            table.add_column(name, overflow="fold", max_width=50)
        for changed in rows:
            inputs = "\n".join(str(value) for value in changed.example.inputs.values())
            (before, after), (first, second) = changed.answers, (changed.before, changed.after)
            cells = [
                short(inputs),
                short(str(changed.example.reference)),
                answer_text(first, changed.before_score, before, grades),
                answer_text(second, changed.after_score, after, grades),
            ]
            table.add_row(*(Text(cell) for cell in cells))
        out.print(table)


def answer_text(trial: Trial, score: float, count: int, grades: Sequence[Json]) -> str:
    """Return an answer with the score of all answers to its example, and the reason that the metric gave for this one."""
    mean = f", mean of {count} answers" if count > 1 else ""
    lines = [f"score {score:.2f}{graded(score, grades)}{mean}", shown(trial.output, trial.failure)]
    if trial.score and trial.score.feedback:
        lines.append(f"why: {short(trial.score.feedback)}")
    return "\n".join(lines)
