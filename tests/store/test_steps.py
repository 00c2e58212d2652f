"""The ladder's rungs: kept in order, for each task on its own."""

import math

import pytest
import sqlalchemy as sa

from ratchet.core import Interval, Spend, Step, Verdict
from ratchet.core.errors import StoreError
from ratchet.store import add_step, clear_steps, load_steps

VERDICT = Verdict(
    champion_id="c_1",
    challenger_id="c_2",
    split="dev",
    metric_id="m_1",
    n=40,
    champion_score=0.5,
    challenger_score=0.75,
    effect=0.25,
    interval=Interval(low=0.1, high=0.4),
    p_value=0.001,
    method="paired",
    wins=12,
    losses=2,
    ties=26,
    margin=0.02,
    decision="better",
)


def step(number: int, **parts: object) -> Step:
    return Step.model_validate(
        {
            "task": "t",
            "number": number,
            "lever": "prompt",
            "what": "ünïcode – “x”",
            "candidate_id": "c_2",
            "score": 0.75,
            "interval": Interval(low=0.7, high=0.8),
            "n": 40,
            "kept": True,
            **parts,
        }
    )


def test_rungs_come_back_in_order(engine: sa.Engine) -> None:
    """Rungs are read by number, with verdict and spend, whatever the order they were stored in."""
    rungs = [step(0), step(1, verdict=VERDICT, spend=Spend(calls=3, cost_usd=0.5)), step(2)]

    for rung in reversed(rungs):
        add_step(engine, rung)

    assert load_steps(engine, "t") == rungs


def test_bounds_that_are_unknown_come_back_unknown(engine: sa.Engine) -> None:
    """A rung on one example has NaN bounds; they are read back as NaN."""
    unknown = Interval(low=math.nan, high=math.nan)
    verdict = VERDICT.model_copy(update={"interval": unknown, "p_value": math.nan})

    add_step(engine, step(0, interval=unknown, verdict=verdict))

    (found,) = load_steps(engine, "t")
    assert math.isnan(found.interval.low)
    assert found.verdict
    assert math.isnan(found.verdict.interval.high)
    assert math.isnan(found.verdict.p_value)


def test_a_rung_is_never_overwritten(engine: sa.Engine) -> None:
    """A second rung under the same number is refused."""
    add_step(engine, step(0))

    with pytest.raises(StoreError):
        add_step(engine, step(0, what="another"))

    assert load_steps(engine, "t") == [step(0)]


def test_forgetting_a_ladder_leaves_the_others(engine: sa.Engine) -> None:
    """Only the rungs of the named task are forgotten."""
    add_step(engine, step(0))
    add_step(engine, step(0, task="u"))

    clear_steps(engine, "t")

    assert load_steps(engine, "t") == []
    assert load_steps(engine, "u") == [step(0, task="u")]
