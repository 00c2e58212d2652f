"""Published sets are read as they are: their references, their schemas, their queries."""

import json
from collections.abc import Callable
from pathlib import Path

from ratchet.answer.queries import QueryError, check_reads, join_operators, query_in
from ratchet.core.numerals import last_number, parse_number
from ratchet.core.schemas import schema_problem, standard_types


def test_gsm8ks_solutions_are_read_behind_their_mark(shared: Callable[[str], Path]) -> None:
    """As references and as replies alike, thousands grouped or not; the last sentence alone gives the number, too, nearly always."""
    lines = shared("gsm8k/train.jsonl").read_text("utf-8").splitlines()
    solutions = [json.loads(line)["answer"] for line in lines]
    told = [float(solution.rsplit("####", 1)[1].replace(",", "")) for solution in solutions]

    assert [parse_number(solution) for solution in solutions] == told
    assert [last_number(solution) for solution in solutions] == told
    in_words = [last_number(solution.rsplit("####", 1)[0]) for solution in solutions]
    assert sum(a == b for a, b in zip(in_words, told, strict=True)) > 0.97 * len(told)


def test_every_published_function_has_a_sound_schema(shared: Callable[[str], Path]) -> None:
    """Types written `dict`, `float`, `tuple` and `any` are read as what they mean."""
    for name in ("simple_python", "multiple", "parallel", "irrelevance"):
        for line in shared(f"bfcl/BFCL_v4_{name}.json").read_text("utf-8").splitlines():
            for function in json.loads(line)["function"]:
                assert schema_problem(standard_types(function["parameters"])) is None


def test_spiders_queries_are_read_from_any_style_of_reply(shared: Callable[[str], Path]) -> None:
    """Bare, in a fence, behind a label with a sentence after it, and between paragraphs."""
    questions = json.loads(shared("spider/questions.json").read_text("utf-8"))
    for query in (question["query"] for question in questions[::7]):
        wanted = join_operators(query.strip().rstrip(";").strip())
        for reply in (
            query,
            f"```sql\n{query}\n```",
            f"SQL: {query}; This is all of it.",
            f"Here is the query:\n\n{query}\n\nIt does what was asked.",
        ):
            assert query_in(reply) == wanted
        try:
            check_reads(wanted)
        except QueryError as error:
            raise AssertionError(query) from error
