"""Whatever a user writes or an upstream claims becomes a row that SQLite and PostgreSQL both store, and is read back."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ratchet.core import Score, Trial, Usage
from ratchet.store import TrialWriter, load_trials, open_database
from ratchet.store.database import add_rows, transaction
from ratchet.store.requests import add_feedback, has_request
from ratchet.store.storable import StorableTuple, storable, storable_row
from ratchet.store.tables import feedback, requests, trials

ODD_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=300),
    st.sampled_from(["\x00", "\ud800", "a\x00b\udfffc", "x" * 1000]),
)
ODD_NUMBER = st.one_of(
    st.integers(-(2**80), 2**80),
    st.integers(2**1024, 2**1025),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -1, 2**31, 2**63, 2**70, 5e-324, 1e308]),
)
ODD = st.one_of(st.none(), st.booleans(), ODD_TEXT, ODD_NUMBER, st.just([1]), st.just({"a": 1}))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), ODD_TEXT, ODD_NUMBER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=6,
)
many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.Engine]:
    """Give one database for all the tries of a property."""
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path_factory.mktemp('storable') / 'r.db'}")
    else:
        opened = open_database(f"{request.getfixturevalue('postgres_server')}/postgres")
    yield opened
    opened.dispose()


@pytest.mark.parametrize("table", [requests, trials], ids=lambda table: table.name)
@many
@given(data=st.data())
def test_any_row_is_stored_and_read_back(
    shared: sa.Engine, table: sa.Table, data: st.DataObject
) -> None:
    """A value of any kind in any column becomes one that the database takes, and gives back as it was written."""
    odd = {column.name: data.draw(ODD) for column in table.columns}
    row = storable_row(table, odd)
    assert repr(StorableTuple(table)(list(odd.values()))) == repr(tuple(row.values()))
    keys = [column == row[column.name] for column in table.primary_key.columns]

    with transaction(shared) as connection:
        connection.execute(sa.delete(table).where(*keys))
        add_rows(connection, table, [row])
        found = connection.execute(sa.select(table).where(*keys)).one()

    assert found._asdict() == row


@many
@given(value=st.one_of(ODD_TEXT, ODD_NUMBER), column=st.sampled_from(list(requests.columns)))
def test_what_is_storable_stays_as_it_is(value: Any, column: sa.Column[Any]) -> None:
    """Made storable twice is made storable once; a text within the column's length, and a figure within its bounds, is not touched."""
    once = storable_row(requests, {column.name: value})

    assert storable_row(requests, once) == once
    kind = column.type.python_type
    fits = isinstance(value, int) and abs(value) < 2**31
    if kind is int and fits:
        assert once[column.name] == value
    if kind is str and isinstance(value, str) and storable(value[:20]) == value:
        assert once[column.name] == value


@many
@given(
    output=ODD_TEXT,
    answer=JSON,
    said=ODD_TEXT,
    tokens=st.integers(0, 2**80),
    cost=st.one_of(st.none(), st.floats()),
    sent=JSON,
)
@example(output="\x00", answer=math.nan, said="\ud800", tokens=2**40, cost=math.inf, sent=2**70)
def test_any_answer_is_kept(
    shared: sa.Engine,
    output: str,
    answer: Any,
    said: str,
    tokens: int,
    cost: float | None,
    sent: Any,
) -> None:
    """An answer that is paid for is kept, whatever the model wrote and whatever its endpoint claims that it took."""
    trial = Trial(
        candidate_id="c_1",
        example_id="e_1",
        output=output,
        answer=answer,
        usage=Usage(prompt_tokens=tokens, completion_tokens=1, cost_usd=cost),
        latency_s=0.5,
        sent={"body": sent},
        score=Score(value=0.5, feedback=said),
    )
    with transaction(shared) as connection:
        connection.execute(sa.delete(trials))

    with TrialWriter(shared) as writer:
        writer.put(trial, f"m_{id(trial):x}")

    (found,) = load_trials(shared, ["c_1"])
    assert found.output == storable(output)
    assert found.usage.prompt_tokens == min(tokens, 2**31 - 1)


@many
@given(said=ODD_TEXT, value=JSON, request_id=ODD_TEXT)
def test_any_feedback_is_kept(shared: sa.Engine, said: str, value: Any, request_id: str) -> None:
    """A comment of any characters and an answer of any kind are stored; an id that no database could hold is simply not there."""
    body = {"comment": said, "answer": value}
    with transaction(shared) as connection:
        connection.execute(sa.delete(feedback))

    add_feedback(shared, "fb-1", "chatcmpl-1", 1.0, body)

    assert not has_request(shared, f"{request_id}\x00")
    with shared.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(feedback)) == 1
