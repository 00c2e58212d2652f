"""Tables on terminals of any width, and how wide a terminal is."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from ratchet.cli import show
from ratchet.cli.figures import verdicts_table
from ratchet.cli.terminal import Table, Terminal
from ratchet.core import Interval, Spend, Step, Verdict

A, B = "c_0123456789abcdef", "c_fedcba9876543210"


def interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, level=0.95, method="Wilson")


VERDICT = Verdict(
    champion_id=A,
    challenger_id=B,
    metric_id="m_0",
    split="dev",
    n=200,
    champion_score=0.2,
    challenger_score=1.0,
    effect=0.8,
    interval=interval(0.56, 0.93),
    p_value=1e-9,
    adjusted_p=1e-9,
    method="McNemar's exact test",
    margin=0.02,
    wins=160,
    losses=0,
    ties=40,
    decision="better",
)
STEPS = [
    Step(
        task="tickets",
        number=0,
        lever="start",
        what="the task's instructions",
        candidate_id=A,
        score=0.2,
        interval=interval(0.088, 0.42),
        n=20,
        kept=True,
        spend=Spend(calls=20, tokens=12345, seconds=123, cost_usd=1.25),
    ),
    Step(
        task="tickets",
        number=1,
        lever="retrieval",
        what="search handbook@2 for 4 passages, hybrid, reranked by local:rerank",
        candidate_id=B,
        score=1,
        interval=interval(0.832, 1),
        n=20,
        kept=False,
        verdict=VERDICT,
        spend=Spend(calls=20, tokens=1234567, seconds=12345),
    ),
]
LADDERS = {
    60: """\
The ladder

0  start  the task's instructions (c_0123456789abcdef)
  score 20.0 (8.8 to 42.0)   ✓ kept   tokens 12,345   s 123
  cost $1.25

1  retrieval  search handbook@2 for 4 passages, hybrid,
    reranked by local:rerank (c_fedcba9876543210)
  score 100.0 (83.2 to 100.0)
  gain on champion +80.0 [+56.0, +93.0]   verdict better
  ✗ dropped   tokens 1,234,567   s 12,345   cost n/a
""",
    80: """\
The ladder

0  start  the task's instructions (c_0123456789abcdef)
  score 20.0 (8.8 to 42.0)   ✓ kept   tokens 12,345   s 123   cost $1.25

1  retrieval  search handbook@2 for 4 passages, hybrid, reranked by
    local:rerank (c_fedcba9876543210)
  score 100.0 (83.2 to 100.0)   gain on champion +80.0 [+56.0, +93.0]
  verdict better   ✗ dropped   tokens 1,234,567   s 12,345   cost n/a
""",
    140: """\
The ladder

     lever       what                                       score       gain on champion   verdict                  tokens        s    cost
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 0   start       the task's instructions       20.0 (8.8 to 42.0)                      —   —         ✓ kept         12,345      123   $1.25
                 (c_0123456789abcdef)
 1   retrieval   search handbook@2 for 4    100.0 (83.2 to 100.0)   +80.0 [+56.0, +93.0]   better    ✗ dropped   1,234,567   12,345     n/a
                 passages, hybrid,
                 reranked by local:rerank
                 (c_fedcba9876543210)
""",
}


def printed(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a table looks like in so many columns, spaces at the ends of lines aside."""
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    Terminal(file=stream, highlight=False).print(table)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return "".join(f"{line.rstrip()}\n" for line in lines)


@pytest.mark.parametrize("width", LADDERS)
def test_the_ladder_as_it_looks(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In columns where there is room; else a rung under another, with every figure whole."""
    assert LADDERS[width] in printed(show.ladder_table(STEPS), width, monkeypatch)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_no_figure_and_no_name_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell of a ladder and of a comparison stands whole in its table, figures on one line."""
    ladder = printed(show.ladder_table(STEPS), width, monkeypatch)
    against = printed(
        verdicts_table([VERDICT], {A: "start", B: "a very careful prompt"}), width, monkeypatch
    )

    for figure in ("100.0 (83.2 to 100.0)", "20.0 (8.8 to 42.0)", "1,234,567", "12,345", "$1.25"):
        assert figure in ladder
    assert "+80.0 [+56.0, +93.0]" in ladder
    assert A in ladder
    assert B in ladder
    assert "…" not in ladder + against
    for figure in ("+56.0 to +93.0", "160/0/40", "1e-09", "better"):
        assert figure in against
    words = set(re.findall(r"\S+", "a very careful prompt"))
    assert words <= set(re.findall(r"\S+", against))


@given(
    st.lists(
        st.tuples(*[st.text("abc é日", max_size=12), st.from_regex(r"[+-]\d{1,9}\.\d", fullmatch=True)] * 2),
        min_size=1,
        max_size=4,
    ),
    st.integers(24, 90),
)  # fmt: skip
def test_every_figure_is_whole_at_any_width(
    rows: list[tuple[str, str, str, str]], width: int
) -> None:
    """No line is wider than the terminal, and no figure is broken, whatever the width."""
    table = Table()
    for name in ("name", "score", "note", "cost"):
        table.add_column(name, justify="right" if name in ("score", "cost") else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        Terminal(file=stream, highlight=False).print(table)

    assert all(Text(line).cell_len <= width for line in stream.getvalue().splitlines())
    shown = stream.getvalue().split()
    for _, score, _, cost in rows:
        assert score in shown
        assert cost in shown


@pytest.mark.parametrize(("columns", "width"), [("61", 61), ("", 120), ("0", 120), ("wide", 120)])
def test_columns_is_heeded_without_a_terminal(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`COLUMNS` is the width of a pipe, read each time; without a number in it a pipe has 120 columns."""
    monkeypatch.setenv("COLUMNS", columns)

    assert Terminal(file=io.StringIO()).width == width
    assert show.out.width == width
    assert show.err.width == width


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `NO_COLOR` a terminal gets no colours, and the signs say what the colours said."""
    texts = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        stream = io.StringIO()
        terminal = Terminal(file=stream, force_terminal=True, color_system="standard", width=200)
        terminal.print(show.ladder_table(STEPS))
        texts.append(stream.getvalue())

    assert "\x1b[32m✓ kept" in texts[0]
    assert not re.search(r"\x1b\[(3|4|9|10)\d", texts[1])
    assert "✓ kept" in texts[1]


def test_commands_in_a_narrow_terminal(
    ratchet, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measure, ab, front, race, trials and ladder keep every figure and name in 60 columns."""
    ratchet("climb", "tickets", "--levers", "prompt", "--templates", "careful.yaml")
    monkeypatch.setenv("COLUMNS", "60")

    shown = {
        words[0]: ratchet(*words).stdout
        for words in (
            ("ladder", "tickets"),
            ("front", "tickets"),
            ("measure", "tickets"),
            ("trials", "tickets", "--limit", "2"),
            ("race", "tickets", "--candidate", "start", "--candidate", "champion"),
            ("ab", "tickets", "--a", "start", "--b", "careful"),
        )
    }

    for name, text in shown.items():
        assert "…" not in text, name
        assert all(Text(line).cell_len <= 60 for line in text.splitlines()), name
    for name in ("ladder", "front", "measure"):
        assert "100.0 (83.2 to 100.0)" in shown[name]
        assert "careful" in shown[name]
    assert "interval 100.0 to 100.0" in shown["race"]
    assert "score 1.00" in shown["ab"]
