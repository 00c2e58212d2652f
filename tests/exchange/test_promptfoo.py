"""A promptfoo configuration as a task."""

import json

import pytest

import ratchet
from ratchet.core.errors import DataError
from ratchet.exchange import read_suite
from ratchet.testing import ScriptedModel

CONFIG = """
description: Say which capital a country has.
prompts:
  - "What is the capital of {{ country }}? Reply in {{language}}."
  - file://chat.json
  - id: file://texts.txt
    label: short ones
  - file://maker.py
  - "{% if x %}{{x}}{% endif %}"
providers:
  - openai:chat:gpt-4.1-mini
  - id: anthropic:messages:claude-sonnet-5
    config: {temperature: 0.5}
  - file://own.js
defaultTest:
  vars: {language: English}
  assert:
    - {type: not-contains, value: sorry}
tests:
  - description: France
    vars: {country: France}
    assert:
      - {type: icontains, value: paris, weight: 2}
      - {type: llm-rubric, value: is polite}
  - vars:
      country: [Peru, Chile]
    assert:
      - {type: contains-any, value: "Lima, Santiago"}
      - {type: regex, value: "^\\\\w+ is in {{country}}"}
  - file://more.csv
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a configuration and its files."""
    (tmp_path / "promptfooconfig.yaml").write_text(CONFIG)
    chat = [
        {"role": "system", "content": "Be brief. Use {{language}}."},
        {"role": "user", "content": "Capital of Japan?"},
        {"role": "assistant", "content": "Tokyo"},
        {"role": "user", "content": "Capital of {{country}}?"},
    ]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    (tmp_path / "texts.txt").write_text("{{country}}?\n---\nCapital of {{country}}, in a word.\n")
    (tmp_path / "more.csv").write_text(
        "country,__expected,__description\nKenya,contains: Nairobi,K\nMali,Bamako,\n"
    )
    return tmp_path


def test_a_configuration_becomes_a_task(folder):
    """Prompts, providers, tests with their spread values, and what is left out, each where it belongs."""
    suite = read_suite(folder / "promptfooconfig.yaml", "capitals")

    assert suite.task.instructions == "Say which capital a country has."
    assert suite.task.input_names == ("country", "language")
    assert suite.task.metric.name == "assertions"
    assert suite.models == ["openai/gpt-4.1-mini", "anthropic/claude-sonnet-5"]
    assert [one.note for one in suite.candidates] == ["prompt 1", "chat", "texts 1", "texts 2"]
    first, chat, *_ = suite.candidates
    assert first.user == "What is the capital of {{country}}? Reply in {{language}}."
    assert chat.system == "Be brief. Use {{language}}."
    assert (chat.demonstrations[0].asked, chat.demonstrations[0].said) == (
        "Capital of Japan?",
        "Tokyo",
    )
    assert [(e.inputs["country"], e.inputs["language"]) for e in suite.examples] == [
        (one, "English") for one in ("France", "Peru", "Chile", "Kenya", "Mali")
    ]
    assert suite.examples[2].reference == [
        {"type": "contains-any", "value": "Lima, Santiago"},
        {"type": "regex", "value": "^\\w+ is in Chile"},
        {"type": "not-contains", "value": "sorry"},
    ]
    assert suite.examples[4].reference[0] == {"type": "equals", "value": "Bamako"}
    assert set(suite.left_out) == {
        "assertion llm-rubric",
        "prompt in code (maker.py)",
        "prompt 'prompt 5': it has a block of Nunjucks; write it with #if and #each",
        "provider 'file://own.js': name its endpoint in ratchet.toml by hand",
    }


def test_its_prompts_are_measured_by_its_assertions(folder):
    """On the workbench, with a model that knows the answers only when it is asked at length."""
    suite = read_suite(folder / "promptfooconfig.yaml", "capitals")
    capitals = {"France": "Paris", "Peru": "Lima", "Chile": "Santiago", "Kenya": "Nairobi", "Mali": "Bamako"}  # fmt: skip

    def says(request):
        last = request.messages[-1]["content"]
        country = next(one for one in capitals if one in last)
        return f"{capitals[country]} is in {country}" if last.startswith("What") else "sorry"

    examples = [e.model_copy(update={"split": "dev"}) for e in suite.examples]
    ready = ratchet.Workbench.of(
        suite.task, examples, models={"openai/gpt-4.1-mini": ScriptedModel(says)}
    )
    good, _, short, _ = ready.measure_all(suite.candidates)

    assert good.score == pytest.approx((3 / 3 + 1 + 1 + 1 + 1 / 2) / 5)  # Mali wants the bare name
    assert short.score == 0


def test_one_equals_a_test_is_an_exact_reference(tmp_path):
    """Nothing but the text that is wanted."""
    (tmp_path / "p.yaml").write_text(
        "prompts: ['{{q}}']\nproviders: [openai:gpt-4.1]\n"
        "tests:\n  - {vars: {q: a}, assert: [{type: equals, value: '{{q}}!'}]}\n"
    )
    suite = read_suite(tmp_path / "p.yaml", "t")
    assert (suite.task.metric.name, suite.examples[0].reference) == ("exact", "a!")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "is no promptfoo configuration"),
        ("prompts: [", "is no YAML"),
        ("prompts: [file://gone.txt]\ntests: []", "there is no file"),
        ("prompts: ['{{q | upper}}']\ntests: []", "none of the prompts can be read"),
        ("prompts: ['{{q}}']\ntests: [{vars: {q: a}}]", "no test with an assertion"),
        (
            "prompts: ['{{q}}']\ntests: [{vars: {p: a}, assert: [{type: equals, value: b}]}]",
            "no value for 'q', which a prompt uses; its vars are p",
        ),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, message):
    """With the file and the reason."""
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_suite(tmp_path / "p.yaml", "t")


def test_what_is_left_out_is_named_and_files_are_followed(tmp_path):
    """Settings, cells of a table, values and defaults in files, targets and patterns, each as promptfoo means them."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.txt").write_text("Capital of {{country}}?")
    (tmp_path / "vars.yaml").write_text("country: Japan\n")
    (tmp_path / "default.yaml").write_text("vars: {tone: dry}\noptions: {prefix: x}\n")
    (tmp_path / "expected.txt").write_text("Nairobi\n")
    (tmp_path / "t.csv").write_text(
        'country,__expected\nIran,"llm-rubric: nice"\nLaos,similar(0.8): Vientiane\nMali,levenshtein(3): Bamaka\n'
        "Chad,\"fn:output==='x'\"\nPeru,Lima: the city\n"
    )
    (tmp_path / "p.yaml").write_text(
        "prompts: prompts/*.txt\n"
        "targets: [{id: 'openai:gpt-4.1', config: {temperature: 0.9, max_tokens: 5, apiKey: x}}]\n"
        "defaultTest: file://default.yaml\n"
        "tests:\n"
        "  - vars: file://vars.yaml\n    threshold: 0.5\n    assert: [{type: contains-any, value: [Tokyo, '{{country}}'], transform: x}]\n"
        "  - {vars: {country: Kenya}, assert: [{type: contains, value: file://expected.txt}]}\n"
        "  - {vars: {country: Oman}, assert: [{type: contains, value: '{{country | upper}}'}]}\n"
        "  - file://t.csv\n"
    )
    suite = read_suite(tmp_path / "p.yaml", "t")

    (candidate,) = suite.candidates
    assert candidate.user == "Capital of {{country}}?"
    assert (candidate.model, candidate.decoding.temperature, candidate.decoding.max_tokens) == ("openai/gpt-4.1", 0.9, 5)  # fmt: skip
    said = {e.inputs["country"]: e.reference[0] for e in suite.examples}
    assert said["Japan"]["value"] == ["Tokyo", "Japan"]
    assert said["Kenya"]["value"] == "Nairobi"
    assert said["Mali"] == {"type": "levenshtein", "threshold": 3.0, "value": "Bamaka"}
    assert said["Peru"] == {"type": "equals", "value": "Lima: the city"}
    assert not {"Iran", "Laos", "Chad"} & set(said)
    for what in ("assertion llm-rubric", "assertion similar", "assertion fn", "provider setting apiKey", "threshold of a test", "options of a test", "transform of an assertion", "assertion with more of Nunjucks than fields"):  # fmt: skip
        assert suite.left_out[what], what
