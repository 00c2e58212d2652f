"""SQL on PostgreSQL: read, and nothing else; and what a model is told of a database."""

import sqlite3
from contextlib import closing

import pytest

from ratchet.answer import Prompt, answer_example, gather, starting_candidate
from ratchet.answer.hardness import hardness
from ratchet.answer.sql import QueryError, database_of, run_query
from ratchet.answer.tables import described
from ratchet.core import (
    AnswerForm,
    Decoding,
    Demonstration,
    Example,
    InputField,
    MetricSpec,
    Roles,
    Task,
)
from ratchet.core.errors import TaskError
from ratchet.models import ModelPool
from ratchet.testing import ScriptedModel


@pytest.fixture
def server(postgres_server):
    """Return the URL of a PostgreSQL database with a table."""
    psycopg = pytest.importorskip("psycopg")
    url = f"{postgres_server}/postgres"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS singer")
        connection.execute("CREATE TABLE singer (id integer PRIMARY KEY, name text)")
        connection.execute("INSERT INTO singer VALUES (1, 'Joe'), (2, 'Ann')")
        connection.execute(
            "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    return url.replace("postgres@", "reader@")


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ("ALTER ROLE odd SUPERUSER", "is a superuser"),
        ("GRANT pg_read_server_files TO odd", "read files of the server"),
        ("GRANT pg_write_server_files TO odd", "write files of the server"),
        ("GRANT pg_execute_server_program TO odd", "run programs"),
        ("GRANT pg_signal_backend TO odd", "end the queries of others"),
    ],
)
def test_a_role_that_may_more_than_read_is_refused(server, grant, words):
    """A superuser's address, and one of a role in the groups for files, programs and signals: refused with the statements that make a right one."""
    import psycopg

    admin = server.replace("reader@", "postgres@").replace("+psycopg", "")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE odd LOGIN")
        try:
            connection.execute(grant)
            with pytest.raises(TaskError, match=words) as refused:
                run_query(server.replace("reader@", "odd@"), "SELECT 1")
        finally:
            connection.execute("DROP ROLE odd")
    assert "CREATE ROLE ratchet_reader LOGIN" in str(refused.value)


def test_a_query_cannot_lift_its_limit(server):
    """It sets the server's own limit to none, and is cancelled from outside all the same; the server is at nothing afterwards."""
    import psycopg

    lifting = "SELECT set_config('statement_timeout', '0', false), pg_sleep(30)"
    with pytest.raises(QueryError, match="longer than 1 seconds"):
        run_query(server, lifting, timeout_s=1)
    admin = server.replace("reader@", "postgres@").replace("+psycopg", "")
    with psycopg.connect(admin) as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'"
        )
        assert connection.execute(query).fetchone() == (0,)


def test_a_server_is_read(server):
    """By its URL, which needs no file."""
    assert database_of(server, {}, None) == server
    assert run_query(server, "SELECT name FROM singer ORDER BY id") == [("Joe",), ("Ann",)]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM singer", "must be a SELECT"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("WITH gone AS (DELETE FROM singer RETURNING id) SELECT * FROM gone", "write nothing"),
        ("SELECT * INTO other FROM singer", "write nothing"),
        ("SELECT setval('x', 1)", "does not exist|read-only"),
        ("SELECT nope FROM singer", 'column "nope" does not exist'),
        ("SELECT pg_sleep(20)", "longer than 1 seconds"),
        ("SELECT generate_series(1, 100000)", "more than 10,000 rows"),
    ],
)
def test_what_a_server_does_not_do(server, query, why):
    """Write, run two statements, run for long, or give without end."""
    with pytest.raises(QueryError, match=why):
        run_query(server, query, timeout_s=1)
    assert len(run_query(server, "SELECT * FROM singer")) == 2


def test_a_server_that_is_not_there_is_named_without_its_password():
    """Where, and never the secret."""
    with pytest.raises(TaskError, match=r"127\.0\.0\.1:1/x") as told:
        run_query("postgresql://me:secret@127.0.0.1:1/x", "SELECT 1")
    assert "secret" not in str(told.value)


def test_a_server_is_described(server):
    """As a file is."""
    assert "singer(id integer: 1, 2; name text: 'Ann', 'Joe')" in described(server)


@pytest.fixture
def music(tmp_path):
    """Return a workspace with a small database."""
    with closing(sqlite3.connect(tmp_path / "music.sqlite")) as connection:
        connection.executescript(
            """CREATE TABLE country (code TEXT PRIMARY KEY, "full name" TEXT);
            CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, country TEXT REFERENCES country(code), born DATE);
            INSERT INTO country VALUES ('NO', 'Norway'), ('O''X', 'x');
            INSERT INTO singer VALUES (1, 'Joe', 'NO', '1990'), (2, 'Ann', 'NO', NULL);"""
        )
    return tmp_path


TASK = Task(
    name="t",
    instructions="Write the query.",
    inputs=(InputField(name="question"),),
    answer=AnswerForm(kind="sql", database="music.sqlite"),
    metric=MetricSpec(name="execution"),
    models=Roles(student="m"),
)
EXAMPLE = Example(inputs={"question": "How many?"}, reference="SELECT count(*) FROM singer")


def test_a_database_is_described_with_keys_and_samples(music):
    """A line a table."""
    assert described(music / "music.sqlite").splitlines() == [
        "country(code TEXT: 'NO', 'O''X'; full name TEXT: 'Norway', 'x'; key code)",
        "singer(id INTEGER: 1, 2; name TEXT: 'Joe', 'Ann'; country TEXT: 'NO'; born DATE: 1990; key id; country -> country.code)",
    ]


async def test_the_prompt_tells_of_the_database(music):
    """The plainest candidate has its tables before the question."""
    async with ModelPool(root=music) as pool:
        request = (await gather(Prompt(TASK, starting_candidate(TASK)), EXAMPLE, pool)).request

    assert request.messages[-1]["content"].startswith("country(code")
    assert request.messages[-1]["content"].endswith("\n\nHow many?")


def test_a_demonstration_of_another_database_shows_no_tables(music):
    """Its own are not at hand, and those of the question would mislead."""
    shown = Demonstration(inputs={"question": "Who?"}, answer="SELECT name FROM singer")
    prompt = Prompt(TASK, starting_candidate(TASK).changed(demonstrations=(shown,)))

    request = prompt.request(EXAMPLE, tables="T")

    assert [m["content"] for m in request.messages[1:]] == ["Who?", "SELECT name FROM singer", "T\n\nHow many?"]  # fmt: skip


def test_a_result_can_fill_neither_memory_nor_time(music):
    """Large values are refused, and so are many of them."""
    many = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 9000) SELECT hex(zeroblob(40000)) FROM n"
    with pytest.raises(QueryError, match="more than 20 MB"):
        run_query(music / "music.sqlite", many)
    with pytest.raises(QueryError, match="too big"):
        run_query(music / "music.sqlite", "SELECT zeroblob(2000000)")


def test_a_database_that_is_locked_is_no_fault_of_the_query(music):
    """It scores nothing, for a query as for the tables in the prompt."""
    with closing(sqlite3.connect(music / "music.sqlite", isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TaskError, match="locked"):
            run_query(music / "music.sqlite", "SELECT 1 FROM singer")
        with pytest.raises(TaskError, match="locked"):
            described(music / "music.sqlite")


async def test_samples_agree_by_what_they_find(music):
    """Three different queries; two of them have the same result."""
    said = iter(["SELECT 2", "SELECT count(*) FROM singer", "SELECT count(*) + 5 FROM singer"])
    model = ScriptedModel(lambda _: next(said), name="m")
    three = starting_candidate(TASK).changed(decoding=Decoding(samples=3, temperature=1))
    async with ModelPool(root=music) as pool:
        trial = await answer_example(Prompt(TASK, three), model, EXAMPLE, pool=pool)

    assert trial.answer in ("SELECT 2", "SELECT count(*) FROM singer")


@pytest.mark.parametrize(
    ("query", "level"),
    [
        ("SELECT count(*) FROM singer", "easy"),
        ("SELECT name FROM singer WHERE age > 20", "easy"),
        ("SELECT name, country FROM singer ORDER BY age DESC", "medium"),
        ("SELECT country, count(*) FROM singer GROUP BY country", "medium"),
        ("SELECT T2.name, count(*) FROM a AS T1 JOIN b AS T2 ON T1.x = T2.x GROUP BY T1.x", "medium"),
        ("SELECT name FROM stadium WHERE id NOT IN (SELECT stadium_id FROM concert)", "hard"),
        ("SELECT country FROM singer WHERE age > 40 INTERSECT SELECT country FROM singer WHERE age < 30", "hard"),
        ("SELECT T2.name, T2.capacity FROM concert AS T1 JOIN stadium AS T2 ON T1.id = T2.id WHERE T1.year >= 2014 GROUP BY T2.id ORDER BY count(*) DESC LIMIT 1", "extra"),
        ("SELECT nothing FROM WHERE", None),
    ],
)  # fmt: skip
def test_hardness_is_spiders(query, level):
    """The examples of the benchmark's own description, and queries of its development set with the level that it gives them."""
    assert hardness(query) == level
