"""TREC's forms: judgements and rankings from files, with the figures that pytrec_eval gives for them."""

import json
from pathlib import Path

import pytest

from ratchet.core.errors import DataError
from ratchet.measure.search import judged_queries, run_scores
from ratchet.measure.trec import read_qrels, read_run, read_topics

QRELS = "1 0 a 2\n1 0 b 1\n1 0 c 0\n1 0 d -1\n1 0 e 3\n\n2 0 a 1\n2 0 b 0\n3 0 x 1\n"
RUN = "1 Q0 c 1 9.5 sys\n1 Q0 e 2 8.0 sys\n1 Q0 z 3 8.0 sys\n1 Q0 d 4 3.0 sys\n1 Q0 b 5 1e-3 sys\n2 Q0 a 1 1.0 sys\n2 Q0 b 2 2.0 sys\n9 Q0 a 1 1.0 sys\n"
TREC_EVAL = {
    "recall@3": 0.4444444444444444,
    "precision@3": 0.2222222222222222,
    "MRR": 0.27777777777777773,
    "MAP": 0.24814814814814815,
    "nDCG@3": 0.31531091573413456,
}
"""Of pytrec_eval-terrier 0.5.11 for these files, query 3, which the run lacks, counted as 0."""


def write(path: Path, text: str) -> Path:
    """Write a file."""
    path.write_text(text)
    return path


def test_a_run_has_the_figures_of_trec_eval(tmp_path: Path) -> None:
    """Equal scores by the last name first, ranks aside; negative grades are not relevant; a query without a ranking counts 0."""
    queries = judged_queries(write(tmp_path / "qrels.txt", QRELS))
    run = read_run(write(tmp_path / "run.txt", RUN))

    figures, notes = run_scores(run, queries, k=3)

    assert {name: mean for name, (mean, *_) in figures.items()} == pytest.approx(TREC_EVAL)
    assert all(low <= mean <= high for mean, low, high in figures.values())
    assert run.rankings["1"] == ["c", "z", "e", "d", "b"]
    assert "count 0: 3" in notes[0]
    assert "1 queries of run 'sys' are not judged" in notes[1]


def test_scores_that_are_one_in_single_precision_are_ties(tmp_path: Path) -> None:
    """As trec_eval holds them: 16777217 and 16777216 are one number there."""
    run = read_run(write(tmp_path / "r", "1 Q0 a 1 16777217 s\n1 Q0 b 2 16777216 s\n"))

    assert run.rankings["1"] == ["b", "a"]


@pytest.mark.parametrize(
    "text",
    [
        "1 0 a 1\n1 0 b 0\n",
        "1\t0\ta\t1\r\n1\t0\tb\t0\r\n",
        "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n",
        "1 a 1\n1 b 0.0\n",
        "\ufeff1 0 a 1\n1 0 a 1\n1 0 b 0",
    ],
)
def test_judgements_are_read_as_trec_and_beir_write_them(tmp_path: Path, text: str) -> None:
    """Spaces or tabs, three or four columns, with and without a header."""
    assert read_qrels(write(tmp_path / "qrels.tsv", text)) == {"1": {"a": 1, "b": 0}}


def test_names_of_documents_may_hold_spaces_between_tabs(tmp_path: Path) -> None:
    """A file name is a name like any other."""
    qrels = write(tmp_path / "q", "1\t0\tmy notes.md\t2\n")
    run = write(tmp_path / "r", "1\tQ0\tmy notes.md\t1\t0.5\ts\n")

    assert read_qrels(qrels) == {"1": {"my notes.md": 2}}
    assert read_run(run).rankings == {"1": ["my notes.md"]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 0 a yes\n", "line 1"),
        ("1 0 a 1\n1 a b c d\n", "line 2"),
        ("1 0 a 1\n1 0 a 2\n", "was judged 1 before"),
        ("1 0 a 0.5\n", "whole number"),
        ("1 0 a nan\n", "whole number"),
        ("\n", "has no queries"),
    ],
)
def test_judgements_that_are_none_are_named(tmp_path: Path, text: str, problem: str) -> None:
    """With their line."""
    with pytest.raises(DataError, match=problem):
        judged_queries(write(tmp_path / "qrels.txt", text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 Q0 a 1 0.5\n", "line 1"),
        ("1 Q0 a 1 high s\n", "line 1"),
        ("1 Q0 a 1 inf s\n", "line 1"),
        ("1 Q0 a 1 0.5 s\n1 Q0 a 2 0.4 s\n", "'a' a second time"),
        ("", "no rankings"),
    ],
)
def test_rankings_that_are_none_are_named(tmp_path: Path, text: str, problem: str) -> None:
    """With their line."""
    with pytest.raises(DataError, match=problem):
        read_run(write(tmp_path / "run.txt", text))


def test_a_run_and_judgements_must_name_the_same_queries(tmp_path: Path) -> None:
    """JSON judgements take part by their ids; without one, or without a common query, that is said."""
    run = read_run(write(tmp_path / "run.txt", RUN))
    line = {"query": "text", "relevant": ["a"]}
    named = judged_queries(write(tmp_path / "a.jsonl", json.dumps({**line, "id": 2})))
    other = judged_queries(write(tmp_path / "b.jsonl", json.dumps({**line, "id": "q"})))
    bare = judged_queries(write(tmp_path / "c.jsonl", json.dumps(line)))

    figures, _ = run_scores(run, named, k=3)

    assert figures["MRR"][0] == 0.5
    with pytest.raises(DataError, match="none of the judged queries"):
        run_scores(run, other)
    with pytest.raises(DataError, match="judged query 1 has none"):
        run_scores(run, bare)


@pytest.mark.parametrize(
    "text",
    [
        "1\twhat is it\n2\twho\n",
        '{"_id": "1", "text": "what is it"}\n{"qid": 2, "query": "who"}\n',
    ],
)
def test_texts_of_queries_are_joined_to_judgements(tmp_path: Path, text: str) -> None:
    """So that a search can be measured by judgements that name queries by their ids."""
    topics = write(tmp_path / "topics.tsv", text)
    qrels = write(tmp_path / "qrels.txt", "1 0 a 1\n2 0 b 1\n")

    assert read_topics(topics) == {"1": "what is it", "2": "who"}
    assert [one.query for one in judged_queries(qrels, topics)] == ["what is it", "who"]
    with pytest.raises(DataError, match="no text of query '3'"):
        judged_queries(write(tmp_path / "q3", "3 0 a 1\n"), topics)
    with pytest.raises(DataError, match="line 1"):
        read_topics(write(tmp_path / "bad", "only one column\n"))
