"""Commands between Ratchet and other programs, in a workspace of their own."""

import json

import pytest

CONFIG = """
description: Who is named?
prompts: ["Name in: {{text}}", "Who? {{text}}"]
providers: ["openai:gpt-4.1"]
tests:
  - {vars: {text: [Ann called, Bob called, Cy called, Di called, Eve called, Fay called]}, assert: [{type: contains, value: called}, {type: llm-rubric, value: x}, {type: javascript, value: x}]}
"""


@pytest.fixture
def names(ratchet, tmp_path):
    """Return a workspace with a promptfoo configuration."""
    ratchet("init", ".")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_a_promptfoo_configuration_comes_in_and_prompts_go_out(ratchet, names):
    """As a task with candidates; what is left out is said; and out in each form, and back from DSPy's."""
    said = ratchet("import-promptfoo", "config.yaml", "--task", "names").stdout
    assert "6 × assertion javascript (test 1, values 1, test 1, values 2" in " ".join(said.split())
    assert "rubrics wait for a judge" in said
    assert sorted(p.name for p in (names / "tasks/names").iterdir()) == [
        "01-prompt-1.yaml",
        "02-prompt-2.yaml",
    ]
    for form, name in (
        ("openai", "openai.json"),
        ("langchain", "langchain.json"),
        ("text", "prompt.txt"),
    ):
        ratchet("export", "tasks/names/01-prompt-1.yaml", "--to", form, "--out", f"out/{form}")
        assert "Name in: {" in (names / "out" / form / name).read_text()
    ratchet("export", "tasks/names/01-prompt-1.yaml", "--out", "out/files")
    again = json.loads(ratchet("show", "out/files/candidate.yaml", "--json").stdout)
    first = json.loads(ratchet("show", "tasks/names/01-prompt-1.yaml", "--json").stdout)
    assert again["id"] == first["id"]
    refused = ratchet("measure", "names", "--dry-run", code=4)
    assert "name a model under models.teacher" in " ".join(refused.stderr.split())
    ratchet("export", "start", "--to", "promptfoo", "--out", "out/promptfoo")
    assert {p.name for p in (names / "out/promptfoo").iterdir()} == {
        "promptfooconfig.yaml",
        "prompt.json",
        "tests.json",
    }
    pytest.importorskip("dspy")
    assert "user template" not in ratchet("export", "start", "--to", "dspy", "--out", "out/dspy").stdout  # fmt: skip
    lost = ratchet("export", "tasks/names/01-prompt-1.yaml", "--to", "dspy", "--out", "out/lost")
    assert "does not say: its user template" in " ".join(lost.stdout.split())
    told = json.loads(
        ratchet("import-dspy", "out/dspy/program.json", "--name", "theirs", "--json").stdout
    )
    assert told["candidate"]["user"].startswith("[[ ## text ## ]]\n{{text}}")
    shown = json.loads(ratchet("show", "tasks/names/theirs.yaml", "--json").stdout)
    assert shown["id"] == told["id"]


def test_nothing_is_written_over(ratchet, names):
    """A task or a candidate that is there stays."""
    ratchet("import-promptfoo", "config.yaml", "--task", "names", "--json")
    refused = ratchet("import-promptfoo", "config.yaml", "--task", "names", code=2)
    assert "choose another name" in " ".join(refused.stderr.split())


def test_an_eval_of_openai_comes_in(ratchet, tmp_path):
    """As a task with its criteria's code beside it; what is lost is listed with its place, and it can be measured."""
    ratchet("init", ".")
    items = [
        {"text": f"call of {name}", "name": name} for name in ("Ann", "Bob", "Cy", "Di", "Eve")
    ]
    answer = "{{sample.output_text}}"
    criteria = [
        {
            "type": "string_check",
            "name": "said",
            "operation": "ilike",
            "input": answer,
            "reference": "{{item.name}}",
        },
        {"type": "python", "name": "own", "source": "def grade(sample, item):\n    return 1.0\n"},
        {"type": "multi", "name": "several"},
    ]
    body = {"object": "eval", "id": "e", "name": "Names", "testing_criteria": criteria}
    source = {"type": "file_content", "content": [{"item": item} for item in items]}
    run = {
        "object": "eval.run",
        "eval_id": "e",
        "name": "r",
        "data_source": {"type": "jsonl", "source": source},
    }
    (tmp_path / "eval.jsonl").write_text(f"{json.dumps(body)}\n{json.dumps(run)}\n")

    told = json.loads(ratchet("import-evals", "eval.jsonl", "--task", "names", "--json").stdout)

    assert told["rows"] == 5
    assert told["functions"] == ["tasks/names/own.py"]
    assert told["losses"] == [
        {
            "where": "criterion several",
            "what": "criterion 'several': criteria of type 'multi' have no equal",
        }
    ]
    assert (tmp_path / "tasks/names/own.py").read_text() == criteria[1]["source"]
    assert "5 × " not in ratchet("check", "names").stdout
