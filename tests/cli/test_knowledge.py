"""Commands about knowledge, in a workspace of their own."""

import json

import pytest

from ratchet.testing import ScriptedServer

pytest.importorskip("bm25s")


@pytest.fixture
def docs(ratchet, tmp_path):
    """Return a folder of documents in a workspace."""
    ratchet("init", ".")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n## Sleep\nA cat sleeps most of the day.\n")
    (folder / "money.csv").write_text(
        "topic,text\nrefund,A refund takes five days.\ncard,Cards are blocked at once.\n"
    )
    (folder / "broken.pdf").write_bytes(b"nothing")
    return folder


@pytest.mark.local
def test_documents_are_added_found_and_scored(ratchet, docs, tmp_path):
    """What cannot be read is named; a search shows where it stands; judgements give figures with intervals."""
    said = ratchet("knowledge", "add", "docs", "--name", "shop").stdout
    assert "shop@1: 3 passages of 2 files; 3 new, 0 gone, 3 embedded" in said
    assert "left out" in said
    assert "broken.pdf" in said
    found = json.loads(
        ratchet("knowledge", "search", "shop", "money back", "--k", "1", "--json").stdout
    )
    assert found[0]["source"] == "docs/money.csv"
    assert found[0]["meta"]["topic"] == "refund"
    only = ratchet(
        "knowledge", "search", "shop", "cat", "--where", "topic=card", "--mode", "dense"
    ).stdout
    assert "Cards are blocked" in only
    assert "sleeps" not in only
    (docs / "cats.md").write_text("# Cats\n## Sleep\nA cat sleeps all day.\n")
    again = json.loads(
        ratchet("knowledge", "add", "docs/cats.md", "--name", "shop", "--json").stdout
    )
    assert (again["version"], again["new"], again["gone"], again["embedded"]) == (2, 1, 1, 1)
    assert "shop@2" in ratchet("knowledge", "list").stdout
    lines = [
        {"query": "getting a refund", "relevant": ["docs/money.csv"]},
        {"query": "a cat naps", "relevant": {"cats.md": 2}},
    ]
    (tmp_path / "judged.jsonl").write_text("\n".join(map(json.dumps, lines)))
    figures = json.loads(ratchet("knowledge", "score", "shop", "judged.jsonl", "--json").stdout)
    assert set(figures) == {"lexical", "dense", "hybrid"}
    assert figures["hybrid"]["MRR"]["mean"] == 1
    assert "nDCG@10" in ratchet("knowledge", "score", "shop", "judged.jsonl").stdout


def test_what_is_wrong_is_told(ratchet, docs, tmp_path):
    """With its name and what to do."""
    missing = ratchet("knowledge", "add", "gone", code=3)
    assert "there is no file or folder gone" in missing.words
    assert "none yet" in ratchet("knowledge", "search", "shop", "x", code=3).words
    ratchet("knowledge", "add", "docs/cats.md", "--embedding", "local:gone")
    assert "name=value" in ratchet("knowledge", "search", "docs", "x", "--where", "a", code=2).words
    (tmp_path / "judged.jsonl").write_text('{"query": 1}')
    assert "line 1" in ratchet("knowledge", "score", "docs", "judged.jsonl", code=3).words


def judging(body):
    """Answer from the passage, and judge such answers."""
    fields = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})  # fmt: skip
    text = body["messages"][-1]["content"]
    if "claims" in fields:
        return json.dumps({"claims": ["It takes five days.", "It is free."]})
    if "verdicts" in fields:
        return json.dumps({"verdicts": [{"number": 1, "reason": "said", "supported": True}, {"number": 2, "reason": "not said", "supported": False}]})  # fmt: skip
    if "useful" in fields:
        return json.dumps({"reason": "so", "useful": "refund" in text.split("<context>")[-1]})
    if "recalled" in fields:
        return json.dumps({"recalled": [{"sentence": "s", "reason": "r", "attributed": True}]})
    return "Five days."


def test_answers_that_stand_on_passages_are_measured(ratchet, docs, tmp_path):
    """What one must know and the split come from columns; three metrics by a judge, kept, with the reason of the lowest."""
    with ScriptedServer(judging) as server:
        (tmp_path / "ratchet.toml").write_text(
            f'[models]\ndefault = "mock/m"\n[endpoints.mock]\nbase_url = "{server.url}"\n'
        )
        rows = ["question,answer,needs,part"]
        for n in range(12):
            part = ("train", "validation", "test")[n % 3]
            rows.append(f"question {n} {'abcdefghijkl'[n] * 9} refund,Five days.,money.csv,{part}")
        (tmp_path / "asked.csv").write_text("\n".join(rows))
        ratchet("knowledge", "add", "docs", "--embedding", "local:gone")
        ratchet("import", "asked.csv", "--task", "shop", "--knowledge", "needs", "--split", "part")
        (tmp_path / "with.yaml").write_text(
            "user: '{{#each passages}}{{text}} {{/each}}{{question}}'\nretrieval: {knowledge: docs, mode: lexical, k: 2}\n"
        )
        words = ("rag", "shop", "--judge", "mock/m", "--candidate", "with.yaml", "--metrics", "faithfulness,context-precision,context-recall")  # fmt: skip
        found = json.loads(ratchet(*words, "--json").stdout)
        calls = len(server.bodies)
        said = ratchet(*words).stdout

        assert found["faithfulness"]["n"] == 4
        assert found["faithfulness"]["score"] == 0.5
        assert found["context-precision"]["score"] == 1.0
        assert found["context-recall"]["score"] == 1.0
        assert "Not supported: It is free." in said
        assert len(server.bodies) == calls  # nothing is paid for twice
        assert "ratchet try retrieval" in ratchet("rag", "shop", "--judge", "mock/m", code=2).words
        gold = (tmp_path / "with.yaml").read_text().replace("lexical", "gold")
        (tmp_path / "gold.yaml").write_text(gold)
        shown = ratchet("show", "gold.yaml", "--task", "shop").stdout
        assert "A refund takes five days." in shown


def test_a_ranking_from_elsewhere_is_measured(ratchet, tmp_path, monkeypatch):
    """In TREC's form, beside judgements in TREC's form; no workspace is needed, and several runs stand side by side."""
    (tmp_path / "qrels.txt").write_text("1 0 a 2\n1 0 b 0\n2 0 b 1\n")
    (tmp_path / "one.run").write_text("1 Q0 a 1 0.9 one\n1 Q0 b 2 0.8 one\n2 Q0 b 1 0.7 one\n")
    (tmp_path / "two.run").write_text("1 Q0 b 1 0.9 two\n1 Q0 a 2 0.8 two\n")
    words = ("knowledge", "score", "qrels.txt", "--run", "one.run", "--run", "two.run")

    figures = json.loads(ratchet(*words, "--json").stdout)
    said = ratchet(*words)

    assert figures["one"]["nDCG@10"]["mean"] == 1
    assert figures["two"]["MRR"]["mean"] == 0.25
    assert "2 queries" in said.stdout
    assert "count 0: 2" in said.words
    assert "name a knowledge base" in ratchet("knowledge", "score", "qrels.txt", code=2).words


def test_a_search_is_measured_by_judgements_in_trecs_form(ratchet, docs, tmp_path):
    """Beside a ranking from elsewhere; the texts of the queries come from a file of their own."""
    ratchet("knowledge", "add", "docs", "--embedding", "local:gone")
    (tmp_path / "qrels.txt").write_text("1 0 money.csv 1\n2 0 cats.md 1\n")
    (tmp_path / "topics.tsv").write_text("1\trefund days\n2\tcat sleeps\n")
    (tmp_path / "a.run").write_text("1 Q0 cats.md 1 0.9 a\n2 Q0 cats.md 1 0.7 a\n")
    words = ("knowledge", "score", "docs", "qrels.txt", "--modes", "lexical")

    said = ratchet(*words, code=2).words
    found = ratchet(*words, "--queries", "topics.tsv", "--run", "a.run", "--json")
    figures = json.loads(found.stdout)

    assert "--queries FILE" in said
    assert figures["lexical"]["MRR"]["mean"] == 1
    assert figures["a"]["MRR"]["mean"] == 0.5
    assert "100 deep" in found.words
