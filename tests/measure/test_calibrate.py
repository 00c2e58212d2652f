"""A judge against people: the corrected mean covers, leanings are found, and what cannot be said is not."""

import math

import numpy as np
import pytest
from scipy import stats

from ratchet.core import Candidate, Example, Grade, Json, Score, Task, Trial
from ratchet.core.errors import DataError
from ratchet.measure import Measurement, calibrate
from ratchet.measure.calibrate import agreement, corrected_mean, leans, own_family
from ratchet.metrics import JudgeMetric, grading_task
from ratchet.models import family_of


def test_the_corrected_mean_is_that_of_ppi_python() -> None:
    """The estimate is that of ppi-python 0.2.3 (`ppi_mean_pointestimate`), whose interval for large samples lies inside, on the same numbers."""
    rng = np.random.default_rng(7)
    judged = rng.random(240).round(3)
    people = (0.7 * judged[:40] + 0.3 * rng.random(40)).round(3)
    mean, interval = corrected_mean(people, judged[:40], judged[40:])
    assert mean == pytest.approx(0.48806500245298307, abs=1e-9)
    assert interval.low < 0.45237686895273455 < 0.5237531359532316 < interval.high
    assert interval.high - interval.low < 2 * (0.5237531359532316 - 0.45237686895273455)


@pytest.mark.parametrize("quality", [0.0, 0.5, 0.9])
def test_the_corrected_mean_covers_however_good_the_judge_is(quality: float) -> None:
    """The judge is too kind by 0.2; its own mean is never right, the corrected one is in 93 % of 800 samples or more of 40 + 300."""
    rng = np.random.default_rng(1)
    hits, widths, plain = 0, [], []
    for _ in range(800):
        truth = (rng.random(340) < 0.6).astype(float)
        noise = (rng.random(340) < 0.6).astype(float)
        judged = np.clip(np.where(rng.random(340) < quality, truth, noise) * 0.8 + 0.2, 0, 1)
        _, interval = corrected_mean(truth[:40], judged[:40], judged[40:])
        hits += interval.low <= 0.6 <= interval.high
        widths.append(interval.high - interval.low)
        plain.append(2 * stats.t.ppf(0.975, 39) * truth[:40].std(ddof=1) / math.sqrt(40))
    assert hits / 800 >= 0.93
    assert np.mean(widths) <= 1.15 * np.mean(plain)
    if quality == 0.9:
        assert np.mean(widths) < 0.7 * np.mean(plain)


@pytest.mark.parametrize(
    ("n", "rate", "errors"), [(5, 0.8, 0.2), (20, 0.95, 0.05), (60, 0.9, 0.3), (60, 0.95, 0.05)]
)
def test_few_grades_that_agree_are_no_certainty(n: int, rate: float, errors: float) -> None:
    """Nearly all pass and the judge is nearly always right: the interval still covers, and is never a point."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        truth = (rng.random(n + 300) < rate).astype(float)
        judged = np.where(rng.random(n + 300) < errors, 1 - truth, truth)
        _, interval = corrected_mean(truth[:n], judged[:n], judged[n:])
        held += interval.low <= rate <= interval.high
        assert interval.high > interval.low
    assert held / 400 >= 0.92


def test_groups_are_the_evidence_of_people_too() -> None:
    """Answers of one conversation move together, graded or not: the interval covers all the same."""
    rng, held = np.random.default_rng(4), 0
    groups = np.repeat(np.arange(40), 10)
    for _ in range(300):
        rate = rng.beta(3, 2, 40)[groups]
        truth = (rng.random(400) < rate).astype(float)
        judged = np.where(rng.random(400) < 0.15, 1 - truth, truth)
        graded = rng.random(400) < 0.4
        _, interval = corrected_mean(
            truth[graded], judged[graded], judged[~graded], groups[graded], groups[~graded]
        )
        held += interval.low <= 0.6 <= interval.high
    assert held / 300 >= 0.92


def test_one_long_answer_proves_no_lean() -> None:
    """Where all answers but one have the same length nothing is said of lengths."""
    rng = np.random.default_rng(5)
    people, judged = rng.random(30), rng.random(30)
    lengths = np.array([3.0] * 29 + [40.0])
    assert leans(people, judged, lengths, [False] * 30) == []


def test_too_few_grades_correct_nothing() -> None:
    """With four grades there is no figure."""
    mean, interval = corrected_mean(np.ones(4), np.ones(4), np.ones(100))
    assert math.isnan(mean)
    assert math.isnan(interval.low)


def test_leanings_are_found_and_none_is_invented() -> None:
    """A judge that adds five points a doubling, and twenty to its own family; and one that does neither."""
    rng = np.random.default_rng(2)
    lengths = 2 ** rng.uniform(4, 10, 300)
    own = list(rng.random(300) < 0.5)
    people = rng.uniform(0.2, 0.8, 300)
    fair = people + rng.normal(0, 0.1, 300)
    biased = fair + 0.05 * (np.log2(lengths) - 7) + 0.2 * np.array(own)
    by_length, by_family = leans(people, biased, lengths, own)
    assert by_length.effect == pytest.approx(0.05, abs=0.015)
    assert by_family.effect == pytest.approx(0.2, abs=0.04)
    assert by_length.is_proven
    assert by_family.is_proven
    assert not any(lean.is_proven for lean in leans(people, fair, lengths, own))
    assert leans(people[:3], fair[:3], lengths[:3], own[:3]) == []


def test_agreement_counts_each_person() -> None:
    """Two people and a judge on four answers, with gaps."""
    gap = math.nan
    people = [np.array([0, 1, 1, gap]), np.array([0, 1, gap, 0])]
    found = agreement(people, np.array([0.0, 1.0, 0.0, gap]), 2)
    assert (found.n, found.share) == (5, 0.8)
    assert found.between_people == 1.0
    assert found.table.tolist() == [[2, 0], [1, 2]]


def test_families_are_known_by_name() -> None:
    """Providers' prefixes and versions do not hide a family; a name that is none stands for itself."""
    assert family_of("openai/gpt-4.1-mini") == family_of("azure/GPT-4o") == "openai"
    assert family_of("together/meta-llama/Llama-3.3-70B") == "meta"
    assert family_of("local:nano") == "nano"
    assert own_family(["openai/gpt-4o"], ["mine/qwen3-4b"]) == []
    assert "own family (openai)" in own_family(["openai/gpt-4o"], ["openai/o3-mini"])[0]


def measured(task: Task, values: list[float], failed: int = 0) -> Measurement:
    """Return a measurement of answers with these judged scores, and some that failed."""
    candidate = Candidate(model="m", user="{{q}}")
    examples = [Example(inputs={"q": str(k)}, reference="r") for k in range(len(values) + failed)]
    trials = [
        Trial(
            candidate_id=candidate.id,
            task_id=task.asking_id,
            example_id=example.id,
            answer="a" * (k + 1) if k < len(values) else None,
            failure=None if k < len(values) else "empty",
            score=Score(value=values[k] if k < len(values) else 0.0),
        )
        for k, example in enumerate(examples)
    ]
    return Measurement.of(
        trials, candidate=candidate, split="dev", metric_id="m_1", examples=examples
    )


def graded(one: Measurement, values: list[Json]) -> list[Grade]:
    """Return a person's grades of the first answers."""
    return [
        Grade(
            candidate_id=trial.candidate_id,
            task_id=trial.task_id,
            example_id=trial.example_id,
            who="ann",
            grade="pass" if value else "fail",
            value=value,
        )
        for trial, value in zip(one.trials, values, strict=False)
    ]


def test_a_calibration_corrects_each_candidate(task: Task) -> None:
    """A judge that passes all: people fail half, so the corrected score is far lower; failed answers stay 0."""
    metric = JudgeMetric(
        grading_task(task, rubric="good", model="judge"),
        [Candidate(model="judge", user="{{answer}}")],
    )
    one = measured(task, [1.0] * 40, failed=10)
    found = calibrate(metric, [one], graded(one, [k % 2 for k in range(20)]))
    (corrected,) = found.corrected
    assert one.score == 0.8
    assert corrected.graded == 20
    assert corrected.score == pytest.approx(0.4)
    assert corrected.interval.low < 0.4 < corrected.interval.high < 0.8
    assert found.agreement.table.tolist() == [[0, 10], [0, 10]]
    with pytest.raises(DataError, match="graded none of these"):
        calibrate(metric, [one], [])


@pytest.fixture
def task() -> Task:
    """Give a task to grade."""
    return Task.model_validate(
        {
            "name": "t",
            "instructions": "Answer.",
            "inputs": [{"name": "q"}],
            "metric": {"name": "exact"},
            "models": {"student": "m"},
        }
    )
