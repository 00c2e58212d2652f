"""Trials and candidates: what was paid for comes back as it was, and is never overwritten."""

import pytest
import sqlalchemy as sa

from ratchet.core import Candidate, Score, Trial, Usage
from ratchet.core.errors import UsageError
from ratchet.store import TrialWriter, find_candidate, keep_candidate, load_trials

FULL = Trial(
    candidate_id="c_1",
    example_id="e_1",
    repeat=2,
    output='{"name": "Zoë 漢字 🎈"}',
    answer={"name": "Zoë 漢字 🎈", "list": [1, 0.5, None, True]},
    usage=Usage(prompt_tokens=12, completion_tokens=3, cost_usd=0.00125),
    latency_s=0.25,
    probabilities={"a": 0.25, "ß": 0.75},
    score=Score(value=1 / 3, parts={"expected": "ß", "n": 2}, feedback="Almost – ‘naïve’."),
)


def put(engine: sa.Engine, *trials: Trial, metric_id: str = "m_1", answered: bool = True) -> None:
    with TrialWriter(engine) as writer:
        for trial in trials:
            writer.put(trial, metric_id, answered=answered)


def answered(output: str, **parts: object) -> Trial:
    return Trial.model_validate(
        {"candidate_id": "c_1", "example_id": "e_1", "output": output, **parts}
    )


def test_trials_come_back_as_they_were(engine: sa.Engine) -> None:
    """Every field of a trial and of its score survives the database."""
    failed = answered("no json", example_id="e_2", failure="unparsable", score=Score(value=0))

    put(engine, FULL, failed)

    assert load_trials(engine, ["c_1"], metric_id="m_1") == [FULL, failed]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("a\\u0000b", "a\\u0000b"),
        ("back\\slash \\\\u0000", "back\\slash \\\\u0000"),
        ("🎈\u2028\x1f\x7f\ufeff", "🎈\u2028\x1f\x7f\ufeff"),
    ],
)
def test_text_that_a_database_refuses_is_replaced_and_all_other_text_is_kept(
    engine: sa.Engine, said: str, kept: str
) -> None:
    """NUL and lone surrogates become U+FFFD, in the output, the answer and the score; nothing else is touched."""
    score = Score(value=0.5, parts={"predicted": said}, feedback=said)
    trial = answered(said, answer={"value": [said], said: 1}, score=score)

    put(engine, trial)

    (found,) = load_trials(engine, ["c_1"], metric_id="m_1")
    assert found.output == kept
    assert found.answer == {"value": [kept], kept: 1}
    assert found.score == Score(value=0.5, parts={"predicted": kept}, feedback=kept)


def test_numbers_of_any_size_come_back(engine: sa.Engine) -> None:
    """An integer of more than 64 bits in a model's answer is kept exactly."""
    trial = answered("{}", answer={"n": 2**80, "m": [-(10**400)], "x": 1e300})

    put(engine, trial)

    assert load_trials(engine, ["c_1"]) == [trial]


def test_an_existing_trial_is_never_overwritten(engine: sa.Engine) -> None:
    """A second answer under the same key leaves the first one as it is."""
    put(engine, answered("first", usage=Usage(prompt_tokens=1)))

    put(engine, answered("second", usage=Usage(prompt_tokens=9)))

    assert [t.output for t in load_trials(engine, ["c_1"])] == ["first"]


def test_a_second_metric_adds_a_score_beside_the_first(engine: sa.Engine) -> None:
    """Each metric reads its own score of the one stored answer, and an unknown metric reads none."""
    put(engine, answered("yes", score=Score(value=0.25)), metric_id="m_1")

    put(engine, answered("?", score=Score(value=0.75)), metric_id="m_2", answered=False)

    found = {m: load_trials(engine, ["c_1"], metric_id=m)[0] for m in ("m_1", "m_2", "m_3")}
    assert [t.output for t in found.values()] == ["yes"] * 3
    assert [t.score and t.score.value for t in found.values()] == [0.25, 0.75, None]


def test_only_the_asked_candidates_are_read(engine: sa.Engine) -> None:
    """Trials of other candidates stay out, and no candidate means no trial."""
    put(engine, answered("one"), answered("two", candidate_id="c_2"))

    assert [t.output for t in load_trials(engine, ["c_2"])] == ["two"]
    assert load_trials(engine, []) == []


def test_a_candidate_is_found_by_the_start_of_its_id(engine: sa.Engine) -> None:
    """An id, or enough of it, names a candidate, and its note comes back too."""
    candidate = Candidate(model="a/b", user="{{text}}", note="plain – ünïcode")
    keep_candidate(engine, candidate)

    found = find_candidate(engine, candidate.id[:8])

    assert found == candidate
    assert (found.id, found.note) == (candidate.id, candidate.note)


def test_a_candidate_that_is_there_stays_as_it_is(engine: sa.Engine) -> None:
    """Putting a candidate down twice keeps the first note."""
    first = Candidate(model="a/b", user="{{text}}", note="first")
    keep_candidate(engine, first)

    keep_candidate(engine, first.changed(note="second"))

    assert find_candidate(engine, first.id).note == "first"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("c_", "more than one candidate has"),
        ("c_zz", "no candidate has"),
        ("%", "no candidate has"),
    ],
)
def test_an_id_that_names_no_single_candidate_is_refused(
    engine: sa.Engine, name: str, says: str
) -> None:
    """A prefix of several ids, of none, or a wildcard is an error that says where ids are listed."""
    for user in ("one", "two"):
        keep_candidate(engine, Candidate(model="a/b", user=user))

    with pytest.raises(UsageError, match=f"{says}.*ratchet ladder"):
        find_candidate(engine, name)
