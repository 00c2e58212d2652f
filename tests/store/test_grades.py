"""People's grades, and what a race knew at its start."""

import sqlalchemy as sa

from ratchet.core import Grade
from ratchet.store import add_grades, load_grades, race_start


def grade(who: str, example: str, said: str) -> Grade:
    """Return a grade of an answer."""
    value = float(said == "pass")
    return Grade(
        candidate_id="c_1", task_id="q_1", example_id=example, who=who, grade=said, value=value
    )


def test_a_later_grade_of_the_same_person_counts(engine: sa.Engine) -> None:
    """One grade a person and answer; other people's stay."""
    add_grades(engine, [grade("ann", "e_1", "pass"), grade("bob", "e_1", "fail")])
    add_grades(engine, [grade("ann", "e_1", "fail"), grade("ann", "e_2", "pass")])
    found = [(g.who, g.example_id, g.grade) for g in load_grades(engine, "q_1")]
    assert found == [("ann", "e_1", "fail"), ("bob", "e_1", "fail"), ("ann", "e_2", "pass")]
    assert load_grades(engine, "q_2") == []


def test_what_a_race_knew_is_kept_once(engine: sa.Engine) -> None:
    """The first answer stands, whatever is known later."""
    assert race_start(engine, "r_1", "t", lambda: ["a", "b"]) == ["a", "b"]
    assert race_start(engine, "r_1", "t", lambda: ["c"]) == ["a", "b"]
