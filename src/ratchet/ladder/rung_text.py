"""The figures of a rung in words, the same on the terminal, on the page and in a report."""

import math

from ratchet.core import Step, points_text

__all__ = ["COLUMNS", "FIGURES", "cost_text", "gain_text", "rung_cells", "score_text"]

COLUMNS = (
    "",
    "lever",
    "what",
    "score",
    "gain on champion",
    "verdict",
    "kept",
    "tokens",
    "s",
    "cost",
)
"""The heads of a ladder's table, wherever it is shown."""
FIGURES = frozenset({"score", "gain on champion", "tokens", "s", "cost"})
"""Those that are set to the right."""


def score_text(step: Step) -> str:
    """Return the score of a rung with its interval, in points."""
    return points_text(step.score, step.interval)


def gain_text(step: Step) -> str:
    """Return the gain against the champion with its interval, in points."""
    if step.verdict is None:
        return "—"
    interval = step.verdict.interval
    if math.isnan(step.verdict.effect):
        return "n/a"
    return (
        f"{100 * step.verdict.effect:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    )


def cost_text(cost_usd: float | None) -> str:
    """Return dollars; "n/a" where a price is unknown."""
    if cost_usd is None:
        return "n/a"
    return (
        "$0" if cost_usd == 0 else f"${cost_usd:.4f}" if cost_usd < 0.1 else f"${cost_usd:,.2f}"
    )  # cents


def rung_cells(step: Step) -> dict[str, str]:
    """Return what stands under each of `COLUMNS` for a rung."""
    cells = (
        str(step.number),
        step.lever,
        step.what,
        score_text(step),
        gain_text(step),
        step.verdict.decision if step.verdict else "—",
        "✓ kept" if step.kept else "✗ dropped",
        f"{step.spend.tokens:,}",
        f"{step.spend.seconds:,.0f}",
        cost_text(step.spend.cost_usd),
    )
    return dict(zip(COLUMNS, cells, strict=True))
