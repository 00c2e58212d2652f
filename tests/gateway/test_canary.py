"""A canary: a share of the requests, until people's words settle it."""

from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from tests.gateway.test_contract import serving

from ratchet.core import Candidate, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import UsageError
from ratchet.gateway import Gateway
from ratchet.ladder import canary_test, current, promote, roll_back, start_canary
from ratchet.models import ModelPool
from ratchet.store import load_releases, open_database
from ratchet.testing import ScriptedModel

TASK = Task(
    name="t",
    instructions="Say.",
    inputs=(InputField(name="text"),),
    metric=MetricSpec(name="exact"),
    models=Roles(student="local:m"),
)
OLD = Candidate(model="local:m", system="old", user="{{text}}")
NEW = Candidate(model="local:m", system="new", user="{{text}}")


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    """Return a database with a release, half of whose requests go to a canary."""
    made = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    promote(made, TASK, OLD, name="desk")
    start_canary(made, NEW, name="desk", share=0.5)
    return made


def live(engine: sa.Engine, thumb: dict[str, str], count: int) -> list[str]:
    """Ask through the official client, thumb each answer, and return who answered; until the canary has ended."""
    model = ScriptedModel(lambda r: str(r.messages[0]["content"]), name="local:m")
    said = []
    with serving(Gateway(engine, lambda: ModelPool(ready={"local:m": model}))) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        for n in range(count):
            reply = client.chat.completions.create(model="desk", messages=[{"role": "user", "content": "x"}], user=f"user {n}")  # fmt: skip
            said.append(str(reply.choices[0].message.content))
            client.post(
                "/feedback", body={"id": reply.id, "thumb": thumb[said[-1]]}, cast_to=object
            )
            if n > 30 and current(engine, "desk").canary is None:
                break
    return said


def test_one_that_people_dislike_is_rolled_back_by_itself(engine: sa.Engine) -> None:
    """About half of the requests met it; the evidence is written down, and the old one answers again."""
    said = live(engine, {"old": "up", "new": "down"}, 400)

    assert 0.3 < said.count("new") / len(said) < 0.7
    last = current(engine, "desk")
    assert (last.number, last.candidate.id, last.canary) == (3, OLD.id, None)
    assert "proven worse by feedback" in last.why
    assert len(said) < 100
    engine.dispose()


def test_one_that_people_like_takes_over(engine: sa.Engine) -> None:
    """With the evidence; what is served may be rolled back by hand."""
    live(engine, {"old": "down", "new": "up"}, 400)

    last = current(engine, "desk")
    assert last.candidate.id == NEW.id
    assert "proven better" in last.why
    back = roll_back(engine, "desk", why="legal asked for it")
    assert (back.candidate.id, back.number) == (OLD.id, 4)
    assert [one.number for one in load_releases(engine, "desk")] == [1, 2, 3, 4]
    engine.dispose()


def test_nothing_is_decided_while_there_is_no_evidence(engine: sa.Engine) -> None:
    """Both liked alike: it stays a canary, and everyone meets the same candidate each time."""
    live(engine, {"old": "up", "new": "up"}, 40)

    found = canary_test(engine, current(engine, "desk"))
    assert found.word == "no evidence"
    assert (found.wins, found.losses) == (0, 0)
    assert found.old[0] + found.new[0] == 40
    engine.dispose()


def test_what_cannot_be(engine: sa.Engine) -> None:
    """A share that is none, a release that is none, the same candidate, nothing to go back to."""
    for share in (0.0, 1.0):
        with pytest.raises(UsageError, match="a canary gets a share"):
            start_canary(engine, NEW, name="desk", share=share)
    with pytest.raises(UsageError, match="there is no release 'dask'; there are desk"):
        start_canary(engine, NEW, name="dask", share=0.1)
    with pytest.raises(UsageError, match="serves already"):
        start_canary(engine, OLD, name="desk", share=0.1)
    roll_back(engine, "desk")
    with pytest.raises(UsageError, match="has no canary"):
        canary_test(engine, current(engine, "desk"))
    with pytest.raises(UsageError, match="has nothing before"):
        roll_back(engine, "desk")
    engine.dispose()


def test_rolling_back_twice_never_returns_to_what_was_taken_back(engine: sa.Engine) -> None:
    """Old, new, newer: back to new, back to old, with the task that each was served for; then there is nothing left."""
    newer = Candidate(model="local:m", system="newer", user="{{text}}")
    renamed = TASK.model_copy(update={"instructions": "Say it."})
    promote(engine, TASK, NEW, name="desk")
    promote(engine, renamed, newer, name="desk")

    first, second = roll_back(engine, "desk"), roll_back(engine, "desk")

    assert (first.candidate, first.task) == (NEW, TASK)
    assert second.candidate == OLD
    with pytest.raises(UsageError, match="has nothing before"):
        roll_back(engine, "desk")
    assert promote(engine, TASK, newer, name="desk").candidate == newer
    assert roll_back(engine, "desk").candidate == OLD
    engine.dispose()
