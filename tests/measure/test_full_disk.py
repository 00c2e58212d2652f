"""A disk that fills: asking ends, what was under way comes back and is kept, and a second run pays for nothing twice."""

from pathlib import Path

import pytest
from tests.measure.test_evaluate import CANDIDATE, EXACT, bench, examples, measure
from tests.store.test_request_writer import bound_pages

from ratchet.core.errors import StoreError
from ratchet.measure import race
from ratchet.metrics import ExactMatch, Metric
from ratchet.store import create_workspace, load_trials
from ratchet.testing import ScriptedModel

COUNT = 400


def slow() -> ScriptedModel:
    """Return a model that says yes at length and a moment later, so that calls are in flight when a batch fails."""
    return ScriptedModel(lambda _request: "yes" + " " * 2000, delay_s=0.05)


class Lengthy(ExactMatch):
    """Takes its time, so that answers are written before their scores."""

    takes_time = True


@pytest.mark.parametrize("metric", [EXACT, Lengthy()], ids=["quick", "takes time"])
async def test_a_full_disk_loses_no_answer_that_was_paid_for(
    metric: Metric, tmp_path: Path
) -> None:
    """Not all are asked once a batch cannot be written; each that was answered is beside the database, and the next run asks for the others alone."""
    engine = create_workspace(tmp_path).database
    bound = bound_pages(engine, pages=40)
    model = slow()

    with pytest.raises(StoreError, match=r"answers are in .* the next command .* takes them in"):
        await measure(bench(engine, metric=metric), model, examples(COUNT))
    asked = len(model.requests)
    bound.clear()
    engine.dispose()
    again = create_workspace(tmp_path).database

    assert 0 < asked < COUNT
    assert len(load_trials(again, [CANDIDATE.id], metric_id=metric.id)) == asked
    rest = slow()
    measured = await measure(bench(again, metric=metric), rest, examples(COUNT))
    assert len(rest.requests) == COUNT - asked
    assert measured.n == COUNT
    again.dispose()


async def test_a_race_ends_as_a_measurement_does(tmp_path: Path) -> None:
    """A race that finds no room stops asking, and each of its answers is kept."""
    engine = create_workspace(tmp_path).database
    bound = bound_pages(engine, pages=40)
    model = slow()
    entrants = [
        (CANDIDATE, model),
        (CANDIDATE.model_copy(update={"system": "Say it well."}), model),
    ]

    with pytest.raises(StoreError, match="takes them in"):
        await race(bench(engine), entrants, examples(COUNT), split="dev")
    asked = len(model.requests)
    bound.clear()
    engine.dispose()
    again = create_workspace(tmp_path).database

    assert 0 < asked < 2 * COUNT
    assert len(load_trials(again, [one.id for one, _ in entrants])) == asked
    again.dispose()
