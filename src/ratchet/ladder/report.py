"""The report: one HTML file without scripts or network — the chart of the rungs, the verdicts, and what each rung changed."""

import html
from collections.abc import Sequence

from ratchet.core import CAUSES, Diagnosis, Step
from ratchet.core.records import written
from ratchet.ladder.changes import Changed
from ratchet.ladder.edits import Edit
from ratchet.ladder.rung_text import COLUMNS, FIGURES, cost_text, rung_cells, score_text
from ratchet.ladder.story import Story, spend_of, told_diagnoses
from ratchet.measure import number_text
from ratchet.measure.front import Standing

__all__ = ["html_report"]

STYLE = """
:root{color-scheme:light dark;--ink:#1d2330;--soft:#667085;--line:#d5dae3;--paper:#fff;--kept:#0a7d4f;--dropped:#b42318;--mark:#2f5fd0}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#98a2b3;--line:#343b4a;--paper:#14171f;--kept:#3ecf8e;--dropped:#ff8a7a;--mark:#7aa2ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:68rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p.lead{color:var(--soft);margin:.2rem 0 1.4rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:.85rem}th.n{text-align:right}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.kept{color:var(--kept);font-weight:600}.dropped{color:var(--dropped);font-weight:600}td .kept,td .dropped{white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font:13px/1.45 ui-monospace,monospace}details{margin:.5rem 0}summary{cursor:pointer}
ins{color:var(--kept);text-decoration-thickness:2px}del{color:var(--dropped)}
.soft{color:var(--soft)}svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg .soft{fill:var(--soft)}.wide{overflow-x:auto}
"""


def html_report(story: Story) -> str:
    """Return the story of a ladder as one page that needs no network."""
    task, steps, champion = story.task, story.steps, story.champion
    lead = f"{len(steps)} rungs" + (
        f", champion {champion.candidate_id} at {score_text(champion)}" if champion else ""
    )
    total = f"{sum(s.spend.tokens for s in steps):,} tokens, {sum(s.spend.seconds for s in steps):,.0f} s"
    body = [
        f"<h1>{text(task.name)}</h1><p class=lead>{text(lead)}; {text(total)} in all. Scores are points of 100 on dev; intervals 95 % unless said.<br>{text(story.date_line)}</p>",
        *(f"<p class=dropped>{text(warning)}</p>" for warning in story.warnings),
        f"<h2>The task</h2><pre>{text(task.instructions)}</pre>",
        f"<div class=wide>{chart(steps)}</div>",
        "<h2>The ladder</h2><div class=wide>" + table(steps) + "</div>",
        "<h2>Verdicts</h2><table>"
        + "".join(verdict_row(step) for step in steps if step.verdict)
        + "</table>",
        champion_prompt(story),
        *(diagnosis(title, found) for title, found in told_diagnoses(story)),
        front(story.standings),
        final(story),
    ]
    for step in steps:
        edited = story.edits.get(step.number, ())
        changed = story.changes.get(step.number, ())
        if edited or changed:
            body.append(
                f"<h2>What rung {step.number} ({text(step.lever)}) changed</h2>"
                + losers(step)
                + "".join(map(edited_part, edited))
                + "".join(map(change, changed))
            )
    recipe = "\n".join(story.recipe)
    body.append(f"<h2>Do it again</h2><pre>{text(recipe)}</pre>")
    title = f"Ratchet: {text(task.name)}"
    return f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title><style>{STYLE}</style>{''.join(body)}</html>"


def champion_prompt(story: Story) -> str:
    """Return the very messages that the champion sends for one example."""
    prompt = story.prompt
    if prompt is None:
        return ""
    rows = "".join(
        f"<tr><th>{text(role)}</th><td><pre>{text(content)}</pre></td></tr>"
        for role, content in prompt.lines
    )
    note = f"<p class=soft>{text(prompt.note)}</p>" if prompt.note else ""
    return (
        "<h2>The champion's prompt</h2><p class=soft>What it sends for the first example of dev, word for word.</p>"
        f"{note}<table>{rows}</table>"
    )


def diagnosis(title: str, found: Diagnosis) -> str:
    """Return why answers fail: a bar a cause, and the two axes."""
    rows = "".join(
        f"<tr><td>{text(one.cause)}</td><td class=n>{100 * one.share:.0f} %</td><td class=n>{100 * one.interval.low:.0f}–{100 * one.interval.high:.0f}</td>"
        f"<td><svg width='220' height='14' role='img' aria-label='{100 * one.share:.0f} per cent'><rect width='{220 * one.share:.0f}' height='14' fill='var(--dropped)'/></svg></td>"
        f"<td class=soft>{text(CAUSES[one.cause])}</td></tr>"
        for one in found.shares
    )
    axes = (
        f"<svg width='240' height='220' role='img' aria-label='what it must know against how it must act'>"
        f"<rect x='40' y='10' width='180' height='180' fill='none' stroke='var(--line)'/>"
        f"<text class='soft' x='130' y='210' text-anchor='middle'>how it must act</text>"
        f"<text class='soft' x='18' y='100' text-anchor='middle' transform='rotate(-90 18 100)'>what it must know</text>"
        f"<circle cx='{40 + 180 * found.acts:.0f}' cy='{190 - 180 * found.knows:.0f}' r='8' fill='var(--dropped)'/></svg>"
    )
    clusters = "".join(f"<li>{text(one.sentence)}</li>" for one in found.clusters)
    return (
        f"<h2>Why answers fail, {text(title)}</h2><p class=soft>{found.failures} of {found.n} train answers of {text(found.candidate_id)} fail; intervals 95 %.</p>"
        + (f"<div class=wide><table>{rows}</table></div>{axes}" if found.failures else "")
        + (f"<ul>{clusters}</ul>" if clusters else "")
    )


def front(standings: Sequence[Standing]) -> str:
    """Return quality against cost and latency: who is on the front."""
    if not standings:
        return ""
    rows = "".join(
        f"<tr><td>{text(one.measured.candidate.id)}</td><td>{text(one.measured.candidate.note)}</td><td class=n>{100 * one.measured.score:.1f}</td>"
        f"<td class=n>{cost_text(one.cost_per_1000)}</td><td class=n>{number_text(one.measured.tokens_a_call, ',.0f')}</td><td class=n>{number_text(one.measured.latency(0.5), '.2f')}</td>"
        f"<td>{'' if one.dominated_by else '<span class=kept>on the front</span>'}</td></tr>"
        for one in standings
    )
    head = "<tr><th>candidate</th><th></th><th class=n>score</th><th class=n>$ a 1,000 calls</th><th class=n>tokens a call</th><th class=n>s, median</th><th></th></tr>"
    return f"<h2>Quality, cost and latency</h2><div class=wide><table>{head}{rows}</table></div>"


def final(story: Story) -> str:
    """Return what the sealed test split said, and what all of it took."""
    said = "".join(f"<p>{text(one.sentence)}</p>" for one in story.openings)
    spend = spend_of(story)
    took = f"{spend['calls']:,} calls, {spend['tokens']:,} tokens, {spend['seconds']:,.0f} s, {cost_text(spend['cost_usd'])}"
    return f"<h2>On the sealed test split</h2>{said or '<p class=soft>Not opened yet.</p>'}<p class=soft>All rungs took {took}.</p>"


def text(value: object) -> str:
    return html.escape(str(value))


def table(steps: Sequence[Step]) -> str:
    head = "".join(
        f"<th{' class=n' if name in FIGURES else ''}>{'' if name == 'kept' else name}</th>"
        for name in COLUMNS
    )
    return f"<table><tr>{head}</tr>{''.join(map(row, steps))}</table>"


def row(step: Step) -> str:
    return (
        f"<tr>{''.join(cell(step, name, shown) for name, shown in rung_cells(step).items())}</tr>"
    )


def cell(step: Step, name: str, shown: str) -> str:
    if name == "kept":
        return f"<td><span class={'kept' if step.kept else 'dropped'}>{text(shown)}</span></td>"
    return f"<td{' class=n' if name in FIGURES else ''}>{text(shown)}</td>"


def verdict_row(step: Step) -> str:
    verdict = step.verdict
    assert verdict  # the caller filters
    figures = f"{verdict.wins} won, {verdict.losses} lost, {verdict.ties} tied; {verdict.method}, p = {verdict.p_value:.2g}"
    return f"<tr><td>{step.number} {text(step.lever)}</td><td>{text(verdict.sentence)}<br><span class=soft>{text(figures)}</span></td></tr>"


def chart(steps: Sequence[Step]) -> str:
    """Return an SVG: a point with its interval for each rung, and the champion's line."""
    wide, high, left, bottom = max(820, 130 * len(steps) + 90), 300, 50, 60
    x = [left + 60 + index * (wide - left - 80) / max(1, len(steps)) for index in range(len(steps))]

    def y(score: float) -> float:
        return 28 + (high - bottom - 28) * (1 - min(1.0, max(0.0, score)))

    marks = [
        f"<line x1='{left}' x2='{wide - 10}' y1='{y(v / 4):.1f}' y2='{y(v / 4):.1f}' stroke='var(--line)'/>"
        f"<text class='soft' x='{left - 8}' y='{y(v / 4) + 4:.1f}' text-anchor='end'>{25 * v}</text>"
        for v in range(5)
    ]
    kept = [(x[i], y(step.score)) for i, step in enumerate(steps) if step.kept]
    if kept:
        points = " ".join(
            f"{a:.1f},{b:.1f}"
            for p, q in zip(kept, [*kept[1:], (wide - 10, kept[-1][1])], strict=True)
            for a, b in (p, (q[0], p[1]))
        )
        marks.append(
            f"<polyline points='{points}' fill='none' stroke='var(--kept)' stroke-width='2' stroke-dasharray='4 4'/>"
        )
    for i, step in enumerate(steps):
        colour = "var(--kept)" if step.kept else "var(--dropped)"
        marks.append(
            f"<line x1='{x[i]:.1f}' x2='{x[i]:.1f}' y1='{y(step.interval.low):.1f}' y2='{y(step.interval.high):.1f}' stroke='{colour}' stroke-width='3' opacity='.5'/>"
            f"<circle cx='{x[i]:.1f}' cy='{y(step.score):.1f}' r='6' fill='{colour}'/>"
            f"<text x='{x[i] + 11:.1f}' y='{y(step.score) - 8:.1f}'>{100 * step.score:.1f}</text>"
            f"<text x='{x[i]:.1f}' y='{high - bottom + 22}' text-anchor='middle'>{text(step.lever)}</text>"
            f"<text x='{x[i]:.1f}' y='{high - bottom + 40}' text-anchor='middle' class='soft'>{'✓ kept' if step.kept else '✗ dropped'}</text>"
        )
    return f"<svg viewBox='0 0 {wide} {high}' width='{wide}' role='img' aria-label='score of each rung with its interval'>{''.join(marks)}</svg>"


def losers(step: Step) -> str:
    """Return who ran in the rung's race and did not win it."""
    if not step.losers:
        return ""
    rows = "".join(
        f"<tr><td>{text(one.what)}</td><td class=n>{100 * one.estimate:.1f}</td><td class=n>{one.answered}</td></tr>"
        for one in step.losers
    )
    return (
        f"<details><summary>{len(step.losers)} more were tried, and lost the race</summary>"
        f"<table><tr><th>what</th><th class=n>score, estimated</th><th class=n>examples</th></tr>{rows}</table></details>"
    )


def edited_part(edit: Edit) -> str:
    """Return a part of the candidate with what went out struck through, and what came in underlined."""
    marks = {"same": "{}", "out": "<del>{}</del>", "in": "<ins>{}</ins>"}
    said = "".join(marks[kind].format(text(piece)) for kind, piece in edit.pieces)
    return f"<details open><summary>{text(edit.part)}</summary><pre>{said}</pre></details>"


def change(changed: Changed) -> str:
    before, after = changed.before_score, changed.after_score
    word = (
        "<span class=kept>fixed</span>" if after > before else "<span class=dropped>broken</span>"
    )
    inputs = "\n".join(str(value) for value in changed.example.inputs.values())
    rows = (
        ("input", inputs),
        ("reference", written(changed.example.reference)),
        (f"before: {before:.2f}", changed.before.output),
        (f"after: {after:.2f}", changed.after.output),
        *(
            (f"why, {when}", trial.score.feedback)
            for when, trial in (("before", changed.before), ("after", changed.after))
            if trial.score and trial.score.feedback
        ),
    )
    cells = "".join(
        f"<tr><th>{text(name)}</th><td><pre>{text(value)}</pre></td></tr>" for name, value in rows
    )
    return f"<details><summary>{word} {text(inputs[:90])}</summary><table>{cells}</table></details>"
