"""The text-to-SQL example, on a Spider of two databases."""

import json
import sqlite3
from contextlib import closing

from examples.spider.run import POOL, Change, make_workspace, open_bench, steps

from ratchet.core import Budget, Nearest
from ratchet.models import ModelPool

TABLES = {
    "table_names_original": ["singer", "sqlite_sequence", "song list"],
    "column_names_original": [[-1, "*"], [0, "id"], [0, "name"], [2, "singer id"]],
    "column_types": ["text", "number", "text", "number"],
    "primary_keys": [1],
    "foreign_keys": [[3, 1]],
}


def spider(folder):
    """Write a Spider of two real databases and one that is only described."""
    (folder / "tables.json").write_text(json.dumps([{"db_id": db, **TABLES} for db in ("a", "b", "far")]))  # fmt: skip
    for db in ("a", "b"):
        place = folder / "database" / db / f"{db}.sqlite"
        place.parent.mkdir(parents=True)
        with closing(sqlite3.connect(place)) as connection:
            connection.executescript("CREATE TABLE singer (id INTEGER, name TEXT); INSERT INTO singer VALUES (1, 'Joe');")  # fmt: skip
    asked = [
        {"db_id": db, "question": f"What is {word * 5}?", "query": f"SELECT name FROM singer WHERE id < {n}"}
        for db in ("a", "b")
        for n, word in enumerate(("alpha", "beta", "gamma"), start=2)
    ]  # fmt: skip
    (folder / "questions.json").write_text(json.dumps(asked))
    learnt = [{**row, "db_id": "far", "question": f"{row['question']} far {row['db_id'] * 20}"} for row in asked]  # fmt: skip
    (folder / "train.json").write_text(json.dumps(learnt))
    return folder


async def test_a_workspace_with_databases_and_splits_is_made(tmp_path):
    """Development questions of one database are never among those of the other split; references score 1; rungs propose."""
    data = tmp_path / "data"
    data.mkdir()
    make_workspace(spider(data), tmp_path / "where", train=6, dev=100)
    bench = open_bench(tmp_path / "where", "local:nano")

    by_split = {name: {e.inputs["db_id"] for e in bench.split(name)} for name in ("train", "dev", "test")}  # fmt: skip
    assert by_split["train"] == {"far"}
    assert len(by_split["dev"]) == len(by_split["test"]) == 1
    assert {bench.metric.score(e, e.reference).value for e in bench.examples} == {1.0}
    async with ModelPool() as pool:
        evidence = bench.ground(pool).evidence
        changes = [one for one in steps("local:nano") if isinstance(one, Change)]
        found = [
            [c async for c in one.propose(bench.start(), evidence, Budget())]
            for one in changes[1:4]
        ]
    (by_query,), (by_hardness,), (repaired,) = found
    assert by_query.nearest == Nearest(count=4, by="answer")
    assert by_hardness.nearest.same_class
    assert len(by_hardness.demonstrations) == min(POOL, 6)
    assert repaired.decoding.repairs == 2
    with closing(sqlite3.connect(tmp_path / "where" / "databases" / "far.sqlite")) as connection:
        assert connection.execute('SELECT count(*) FROM "song list"').fetchone() == (0,)
