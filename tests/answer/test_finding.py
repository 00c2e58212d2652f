"""From a question to its passages: each rung of the way, with a model whose replies are known."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from ratchet.answer import Prompt, answer_example, gather
from ratchet.answer.finding import ITEM
from ratchet.core import (
    Budget,
    Candidate,
    Compressing,
    Example,
    Filtering,
    InputField,
    MetricSpec,
    Reranking,
    Retrieval,
    Rewriting,
    Roles,
    Routing,
    Tables,
    Task,
)
from ratchet.core.errors import CandidateError, ReplyError, TemplateError
from ratchet.models import ModelPool
from ratchet.retrieval import add_documents
from ratchet.store import open_database
from ratchet.testing import ScriptedModel

pytest.importorskip("bm25s")

TASK = Task(
    name="t",
    instructions="Answer.",
    inputs=(InputField(name="question"),),
    metric=MetricSpec(name="match"),
    models=Roles(student="m"),
)
USER = "{{#each passages}}[{{number}}] {{text}}\n{{/each}}{{question}}"
DOCS = {
    "pets/cats.md": "# Cats\n\nCats sleep sixteen hours a day.\n",
    "pets/dogs.md": "# Dogs\n\nDogs bark at strangers. They like long walks.\n",
    "news/2021.md": "---\ndate: 2021-05-01\n---\n# Prices\n\nThe price of tea was four crowns.\n",
    "news/2024.md": "---\ndate: 2024-05-01\n---\n# Prices\n\nThe price of tea is nine crowns.\n",
}


@pytest.fixture
def engine(tmp_path):
    """Return a database with two knowledge bases."""
    made = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    for name, text in DOCS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    for name in ("pets", "news"):
        add_documents(made, name, [tmp_path / name])
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        connection.executescript("CREATE TABLE sale (item TEXT, n INTEGER); INSERT INTO sale VALUES ('pen', 3), ('ink', 9);")  # fmt: skip
    return made


async def found(engine, question, said, *, gold=(), **parts):
    """Return the texts of the passages that a question gets, and what the model was asked on the way."""
    asked = []

    def answer(request):
        asked.append(request.messages[-1]["content"])
        return said(asked[-1]) if callable(said) else said

    retrieval = Retrieval.model_validate({"knowledge": "pets", "mode": "lexical", "k": 1, **parts})
    candidate = Candidate(model="m", user=USER, retrieval=retrieval)
    models = {"m": ScriptedModel(answer, name="m")}
    root = Path(engine.url.database).parent
    async with ModelPool(ready=models, engine=engine, root=root) as pool:
        example = Example(inputs={"question": question}, reference=None, knowledge=gold)
        gathered = await gather(Prompt(TASK, candidate), example, pool)
    return [one.text for one in gathered.passages], asked


async def test_a_hypothetical_answer_is_searched_in_place_of_the_question(engine):
    """The question shares no word with the passage; the answer that a model makes up does."""
    hyde = Rewriting(prompt="Answer in a sentence: {{query}}")

    plain, _ = await found(engine, "Which animal is lazy?", "")
    texts, asked = await found(engine, "Which animal is lazy?", "The cats sleep.", rewriting=hyde)

    assert plain == []
    assert texts == ["Cats sleep sixteen hours a day."]
    assert asked == ["Answer in a sentence: Which animal is lazy?"]


async def test_several_questions_in_one_are_searched_apart_and_merged(engine):
    """Each line is a question; numbers and dashes before it are not part of it."""
    expand = Rewriting(prompt="Split: {{query}}", several=True)

    texts, _ = await found(
        engine, "Tell me of both", "1. How long do cats sleep?\n- Do dogs bark?", rewriting=expand, k=2
    )  # fmt: skip

    assert sorted(text[:4] for text in texts) == ["Cats", "Dogs"]
    assert ITEM.sub("", "2. 401(k) of 2023") == "401(k) of 2023"


async def test_a_model_routes_to_one_of_several_knowledge_bases_or_to_none(engine):
    """Its reply is a name among the choices; anything else means the candidate's own knowledge base."""
    routing = Routing(
        choices={"pets": "animals", "news": "prices", "none": "small talk"},
        prompt="{{query}}{{#each choices}}\n{{name}}: {{text}}{{/each}}",
    )

    news, asked = await found(engine, "price of tea 2024", '{"choice": "news"}', routing=routing)
    nothing, _ = await found(engine, "Hello", '{"choice": "none"}', routing=routing)
    astray, _ = await found(engine, "cats", "I would say it depends", routing=routing)
    listed, _ = await found(engine, "cats", '{"choice": ["news"]}', routing=routing)

    assert "crowns" in news[0]
    assert asked[0].splitlines()[1:] == ["pets: animals", "news: prices", "none: small talk"]
    assert nothing == []
    assert (
        listed == []
    )  # a list is no choice, and its name stands in the reply: news, which knows nothing of cats
    assert astray == ["Cats sleep sixteen hours a day."]


async def test_tables_are_asked_by_a_query_that_can_only_read(engine):
    """The rows are a passage; a query that would write finds nothing."""
    parts = {
        "routing": Routing(choices={"pets": "animals", "tables": "sales"}, prompt="{{query}}"),
        "tables": Tables(database="shop.sqlite", prompt="{{schema}}\nSQL for: {{query}}"),
    }

    def said(query):
        return lambda text: query if text.startswith("sale(") else '{"choice": "tables"}'

    rows, asked = await found(engine, "Sales of ink?", said("```sql\nSELECT n FROM sale WHERE item = 'ink'\n```"), **parts)  # fmt: skip
    none, _ = await found(engine, "Sales of ink?", said("DELETE FROM sale"), **parts)

    assert rows == ["9"]
    assert "sale(item TEXT: 'pen', 'ink'; n INTEGER: 3, 9)" in asked[1]
    assert none == []


async def test_a_filter_is_a_value_of_the_inputs_or_a_class_that_a_model_predicts(engine):
    """Only passages of that value are searched."""
    by_date, _ = await found(engine, "price of tea", "", where={"date": "2021-05-01"}, k=4)  # fmt: skip
    assert by_date == []  # of another knowledge base

    filtering = Filtering(field="title", prompt="{{query}}: {{#each choices}}{{name}} {{/each}}")
    of_class, asked = await found(
        engine, "strangers sleep", '{"choice": "Dogs"}', filtering=filtering, k=4
    )

    assert [text[:4] for text in of_class] == ["Dogs"]
    assert asked == ["strangers sleep: Cats Dogs "]


async def test_newest_first(engine):
    """A rule: of what fits, what was written last comes first."""
    parts = {"knowledge": "news", "k": 2}

    by_rank, _ = await found(engine, "What was the price of tea?", "", **parts)
    by_date, _ = await found(engine, "What was the price of tea?", "", reranking=Reranking(by="newest"), **parts)  # fmt: skip

    assert by_date == ["The price of tea is nine crowns.", "The price of tea was four crowns."]
    assert sorted(by_rank) == sorted(by_date)


async def test_a_model_puts_passages_into_its_order(engine):
    """Numbers that are none, or stand twice, are passed over; passages that it forgets follow."""
    ranking = Reranking(
        by="model", prompt="{{query}}{{#each passages}}\n{{number}} {{text}}{{/each}}"
    )
    parts = {"knowledge": "news", "k": 2, "reranking": ranking}

    first, asked = await found(engine, "price of tea", '{"order": [2, 2, 9]}', **parts)
    kept, _ = await found(engine, "price of tea", "no idea", **parts)

    assert first == kept[::-1]
    assert "1 Prices\n" in asked[0]


async def test_passages_are_shortened_by_a_model(engine):
    """One of which nothing is left is not shown."""
    compressing = Compressing(by="model", prompt="{{query}}|{{text}}")

    texts, _ = await found(
        engine, "dogs and cats", lambda text: "They bark." if "Dogs" in text else "", compressing=compressing, k=2
    )  # fmt: skip

    assert texts == ["They bark."]


@pytest.mark.local
async def test_passages_are_shortened_to_the_sentences_that_are_nearest(engine):
    """By meaning, without a model that writes."""
    compressing = Compressing(words=4)

    texts, _ = await found(engine, "What do dogs do when someone unknown comes?", "", compressing=compressing)  # fmt: skip

    assert texts == ["Dogs bark at strangers."]


async def test_gold_and_none_are_the_questions_of_the_diagnosis(engine):
    """What the example says one must know, by file, by title, or as a text of its own; and nothing at all."""
    gold, _ = await found(engine, "?", "", mode="gold", gold=("Cats", "dogs.md", "Fish swim."))
    nothing, _ = await found(engine, "cats", "", mode="none")

    assert [text[:4] for text in gold] == ["Cats", "Dogs", "Fish"]
    assert nothing == []


async def test_what_is_asked_on_the_way_counts_as_the_candidates(engine):
    """Calls, tokens, cost and time of the rewriting are in the trial; the passages that it saw too."""
    model = ScriptedModel(lambda _: "cats sleep", name="m", price=(1.0, 1.0))
    retrieval = Retrieval(knowledge="pets", mode="lexical", k=1, rewriting=Rewriting(prompt="{{query}}"))  # fmt: skip
    prompt = Prompt(TASK, Candidate(model="m", user=USER, retrieval=retrieval))
    async with ModelPool(ready={"m": model}, engine=engine) as pool:
        trial = await answer_example(
            prompt, model, Example(inputs={"question": "lazy?"}, reference=None), pool=pool
        )

    assert trial.calls == 2
    assert trial.usage.completion_tokens == 4
    assert [one.text for one in trial.seen] == ["Cats sleep sixteen hours a day."]
    assert trial.passages == (trial.seen[0].id,)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"routing": {"choices": {"pets": "a", "tables": "b"}, "prompt": "x"}}, r"needs retrieval\.tables"),
        ({"routing": {"choices": {"pets": "a", "news": "b"}}}, r"needs routing\.prompt"),
        ({"routing": {"choices": {"pets": "a", "news": "b"}, "by": "nearest", "questions": {"fish": ("x",)}}}, "none of the choices"),
        ({"reranking": {"by": "cross-encoder"}}, r"named in reranking\.model"),
        ({"reranking": {"by": "model"}}, r"needs reranking\.prompt"),
        ({"compressing": {"by": "model"}}, r"needs compressing\.prompt"),
        ({"filtering": {"field": "title"}}, r"needs filtering\.prompt"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(parts, message):
    """Early, with what is missing."""
    with pytest.raises(ValidationError, match=message):
        Retrieval.model_validate({"knowledge": "pets", **parts})


def test_a_template_that_uses_what_is_not_there_is_refused():
    """Before anything is bought."""
    retrieval = Retrieval(knowledge="pets", rewriting=Rewriting(prompt="{{question}}"))

    with pytest.raises(TemplateError, match="'question'; the fields are 'query'"):
        Prompt(TASK, Candidate(model="m", user=USER, retrieval=retrieval))


async def test_a_class_that_no_passage_has_is_refused(engine):
    """Filtering by it could not do anything."""
    with pytest.raises(CandidateError, match="0 different values of 'date'"):
        await found(engine, "tea", "", filtering=Filtering(field="date", prompt="x"))


async def test_what_was_paid_on_the_way_is_charged_though_no_answer_came(engine):
    """A rewriting came, the answer did not: the budget knows of the one call."""
    from ratchet.measure import Bench, evaluate
    from ratchet.metrics import make_metric

    def said(request):
        return ReplyError("down", kind="timeout") if "|" in request.messages[-1]["content"] else "cats sleep"  # fmt: skip

    model = ScriptedModel(said, name="m", price=(1e6, 1e6))
    retrieval = Retrieval(knowledge="pets", mode="lexical", k=1, rewriting=Rewriting(prompt="{{query}}"))  # fmt: skip
    candidate = Candidate(model="m", user="{{passages}}|{{question}}", retrieval=retrieval)
    budget = Budget()
    async with ModelPool(ready={"m": model}, engine=engine) as pool:
        bench = Bench(task=TASK, metric=make_metric(TASK.metric), budget=budget, pool=pool)
        with pytest.raises(ReplyError):
            await evaluate(bench, candidate, model, [Example(inputs={"question": "lazy?"}, reference="x")])  # fmt: skip

    assert budget.calls_made == 1
    assert budget.dollars > 0
