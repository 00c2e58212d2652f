"""Answers that are checked beyond their form: by a function of the user's, and by running them as SQL."""

import sqlite3
from contextlib import closing

import pytest

from ratchet.answer import Prompt, answer_example, starting_candidate
from ratchet.answer.sql import QueryError, database_of, query_in, run_query
from ratchet.core import AnswerForm, Decoding, Example, InputField, MetricSpec, Roles, Task
from ratchet.core.errors import TaskError
from ratchet.models import ModelPool
from ratchet.store.workspace import load_task
from ratchet.testing import ScriptedModel


@pytest.fixture
def shop(tmp_path):
    """Return a small database."""
    path = tmp_path / "databases" / "shop.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE item (name TEXT, price REAL); INSERT INTO item VALUES ('pen', 2), ('ink', 7.5);"
        )
    return path


def task(**form):
    """Return a task with that answer form."""
    return Task(
        name="t",
        instructions="Do.",
        inputs=(InputField(name="q"), InputField(name="db")),
        answer=AnswerForm(**form),
        metric=MetricSpec(name="exact"),
        models=Roles(student="local:m"),
    )


async def trial(task, said, root, **decoding):
    """Return the trial of a model that says one thing after another, and the requests that it got."""
    seen = []

    def answer(request):
        seen.append(request)
        return said[min(len(seen), len(said)) - 1]

    candidate = starting_candidate(task).changed(decoding=Decoding(**decoding))
    async with ModelPool(root=root) as pool:
        found = await answer_example(
            Prompt(task, candidate),
            ScriptedModel(answer, name="local:m"),
            Example(inputs={"q": "x", "db": "shop"}, reference=None),
            pool=pool,
        )
    return found, seen


async def test_sql_that_fails_is_handed_back_with_the_databases_error(shop, tmp_path):
    """The model reads what the database says, and its next query runs."""
    said = ["SELECT title FROM item", "```sql\nSELECT name FROM item;\n```"]
    form = {"kind": "sql", "database": "databases/{{db}}.sqlite"}
    found, seen = await trial(task(**form), said, tmp_path, repairs=2)

    assert (found.answer, found.failure, found.calls) == ("SELECT name FROM item", None, 2)
    assert "the query fails: no such column: title" in seen[1].messages[-1]["content"]
    stubborn, seen = await trial(task(**form), said[:1], tmp_path, repairs=2)
    assert (stubborn.answer, stubborn.failure, len(seen)) == (said[0], None, 3)
    plain, seen = await trial(task(**form), said, tmp_path)
    assert (plain.answer, len(seen)) == (said[0], 1)


async def test_sql_that_cannot_be_read_is_no_answer(shop, tmp_path):
    """Prose and statements that write have no form of a query."""
    form = {"kind": "sql", "database": "databases/{{db}}.sqlite"}
    for said in ("I would not know.", "DROP TABLE item", "SELECT 1; SELECT 2", "SELECT FROM WHERE"):
        found, _ = await trial(task(**form), [said], tmp_path)
        assert (found.answer, found.failure) == (None, "wrong form"), said


async def test_of_samples_those_that_run_are_asked_to_agree(shop, tmp_path):
    """Two equal queries that fail do not outvote one that runs."""
    said = ["SELECT title FROM item", "SELECT title FROM item", "SELECT name FROM item"]
    form = {"kind": "sql", "database": "databases/{{db}}.sqlite"}
    found, _ = await trial(task(**form), said, tmp_path, samples=3, temperature=1)
    assert found.answer == "SELECT name FROM item"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("DELETE FROM item", "it must be a SELECT"),
        ("ATTACH DATABASE 'x' AS y", "it must be a SELECT"),
        ("PRAGMA table_info(item)", "it must be a SELECT"),
        ("SELECT load_extension('x')", "not authorized|no such function"),
        ("SELECT writefile('x', 'y')", "no such function"),
        ("SELECT zeroblob(1000000000)", "too big|out of memory"),
        ("SELECT * FROM pragma_database_list", "not authorized|prohibited"),
        ("SELECT * FROM pragma_journal_mode", "not authorized|prohibited"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "longer than 0.3 seconds",
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) SELECT i FROM n",
            "more than 100 rows",
        ),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("(" * 5000, "parse"),
    ],
)
def test_a_query_can_do_no_harm(shop, query, problem):
    """What writes, reaches other files, takes too long or gives too much ends with a sentence."""
    with pytest.raises(QueryError, match=problem):
        run_query(shop, query, timeout_s=0.3, rows=100)
    assert run_query(shop, "SELECT count(*) FROM item") == [(2,)]


def test_an_input_never_leads_out_of_the_folder(shop, tmp_path):
    """The value of an input is part of a file's name, and nothing more."""
    place = "databases/{{db}}.sqlite"
    assert database_of(place, {"db": "shop"}, tmp_path) == shop
    for bad in ("../shop", "a/b", "..", "", None, "/etc/passwd", "shop\x00"):
        with pytest.raises(TaskError, match="letters, digits"):
            database_of(place, {"db": bad}, tmp_path)
    with pytest.raises(TaskError, match="there is no file"):
        database_of(place, {"db": "gone"}, tmp_path)


def test_the_query_of_a_reply():
    """A fence holds it, or it is the whole reply."""
    assert query_in("Here:\n```sqlite\nSELECT 1;\n```\nDone.") == "SELECT 1"
    assert query_in(" SELECT 1 ; ") == "SELECT 1"
    assert query_in("```\nSELECT 1") == "SELECT 1"


async def test_the_users_check_hands_its_words_back(tmp_path):
    """It is given inputs and answer; the answer that it lets pass stands."""
    (tmp_path / "checks.py").write_text(
        "def short(inputs, answer):\n    assert inputs['q'] == 'x'\n    return f'{len(answer)} letters are too many' if len(answer) > 3 else None\n"
    )
    found, seen = await trial(task(check="checks.py:short"), ["verbose", "ok"], tmp_path, repairs=1)

    assert (found.answer, found.calls) == ("ok", 2)
    assert "7 letters are too many" in seen[1].messages[-1]["content"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned 3; return what is wrong as text"),
        ("raise ValueError('odd')", "failed on the answer 'verbose'"),
        ("raise SystemExit(3)", "failed on the answer 'verbose'"),
    ],
)
async def test_a_check_that_fails_itself_is_named(tmp_path, body, message):
    """It is the user's mistake, and is told as one."""
    (tmp_path / "checks.py").write_text(f"def odd(inputs, answer):\n    {body}\n")
    with pytest.raises(TaskError, match=message):
        await trial(task(check="checks.py:odd"), ["verbose"], tmp_path, repairs=1)
    with pytest.raises(TaskError, match=r"answer\.check is file\.py:function"):
        await trial(task(check="gone.py:odd"), ["verbose"], tmp_path, repairs=1)


async def test_false_is_a_problem_without_words(tmp_path):
    """A check may just say yes or no."""
    (tmp_path / "checks.py").write_text("def right(inputs, answer):\n    return answer == 'ok'\n")
    found, seen = await trial(task(check="checks.py:right"), ["no", "ok"], tmp_path, repairs=1)
    assert found.answer == "ok"
    assert "it does not pass the check" in seen[1].messages[-1]["content"]


def test_a_database_that_is_none_is_the_tasks_fault(tmp_path):
    """And not the model's; a number may name a file."""
    (tmp_path / "2.sqlite").write_bytes(b"nothing at all" * 100)
    path = database_of("{{db}}.sqlite", {"db": 2}, tmp_path)
    with pytest.raises(TaskError, match="cannot be read"):
        run_query(path, "SELECT 1 FROM x")


def test_another_check_makes_other_answers(tmp_path):
    """The content of its file is part of what the task asks."""
    (tmp_path / "tasks").mkdir()
    body = "name: t\ninstructions: Do.\ninputs: [{name: q}]\nanswer: {check: 'checks.py:ok'}\nmetric: {name: exact}\nmodels: {student: m}\n"
    (tmp_path / "tasks" / "t.yaml").write_text(body)
    (tmp_path / "checks.py").write_text("def ok(inputs, answer): ...\n")
    first = load_task(tmp_path / "tasks" / "t.yaml")
    (tmp_path / "checks.py").write_text("def ok(inputs, answer): return 'no'\n")
    assert load_task(tmp_path / "tasks" / "t.yaml").asking_id != first.asking_id


def test_a_query_may_ask_about_json_the_schema_and_full_text(tmp_path):
    """Table-valued functions, what tells of columns and keys, and a full-text index are read, of a file that stays as it is."""
    path = tmp_path / "notes.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE note (id INTEGER PRIMARY KEY, tags TEXT);
            INSERT INTO note VALUES (1, '["a", "b"]');
            CREATE VIRTUAL TABLE body USING fts5(text);
            INSERT INTO body VALUES ('hello world'), ('good bye');"""
        )
    before = path.read_bytes()

    assert run_query(path, "SELECT value FROM note, json_each(note.tags)") == [("a",), ("b",)]
    assert run_query(path, "SELECT name FROM pragma_table_info('note')") == [("id",), ("tags",)]
    assert run_query(path, "SELECT text FROM body WHERE body MATCH 'hello'") == [("hello world",)]
    assert run_query(path, "SELECT count(*) FROM body WHERE body MATCH 'good' ORDER BY rank") == [
        (1,)
    ]
    for query in (
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_journal_mode",
        "UPDATE sqlite_master SET sql = ''",
        "PRAGMA writable_schema = 1",
    ):
        with pytest.raises(QueryError):
            run_query(path, query)
    assert path.read_bytes() == before
