"""Candidates as promptfoo's suites; what promptfoo 0.121.20 and 0.123.1 sent of one was written down by `observe_promptfoo.py`."""

import json
from pathlib import Path

import pytest
import yaml

import ratchet
from ratchet.answer import Prompt
from ratchet.core.errors import CandidateError
from ratchet.exchange import Endpoint, Losses, promptfoo_files, read_suite

SEEN = Path(__file__).with_name("promptfoo_export.json")
TASK = ratchet.Task(
    name="t",
    instructions="Say {it} brief.",
    inputs=(ratchet.InputField(name="q"), ratchet.InputField(name="o")),
    metric=ratchet.MetricSpec(name="assertions"),
    models=ratchet.Roles(student="openai/gpt-6-luna"),
)
CANDIDATE = ratchet.Candidate(
    model="openai/gpt-6-luna",
    system="{{instructions}} Use {% if %} never.",
    user="Q: {{q}}\n{{o}}",
    demonstrations=(ratchet.Demonstration(inputs={"q": "one {{x}}", "o": 1}, answer="two"),),
)
AWKWARD = [
    "plain",
    "br {{x}} {% y %} {# z #}",
    "file://etc/x",
    "[1, 2]",
    "end\n",
    'q"uo\\te\u2028x',
    "<b>&'",
    "{% endraw %} out",
    "{{q}}",
    "",
    "  sp ",
    "yes",
    "{{ 'a' | upper }}",
]


def examples(questions):
    return [
        ratchet.Example(
            inputs={"q": question, "o": {"k": [1, "{{z}}"]} if number % 2 else None},
            reference=[
                {"type": "contains", "value": question or "Q"},
                {"type": "not-contains", "value": "zzz {{x}}"},
            ],
            name=f"n{number}",
        )
        for number, question in enumerate(questions)
    ]


def build():
    """Return the files of the suite that promptfoo ran."""
    return promptfoo_files(TASK, CANDIDATE, examples(AWKWARD))


def test_promptfoo_sends_what_we_send():
    """To the letter, with braces, blocks, files and line breaks in values, as it was seen to do with these very files."""
    seen = json.loads(SEEN.read_text("utf-8"))

    assert build() == seen["files"]
    for example, sent in zip(examples(AWKWARD), seen["sent"], strict=True):
        assert Prompt(TASK, CANDIDATE).request(example).messages == sent


def test_a_written_suite_is_read_again(tmp_path):
    """As the same messages and assertions."""
    written = examples(["plain", "two\nlines", "5"])
    written = [one.model_copy(update={"inputs": {**one.inputs, "o": "x"}}) for one in written]
    candidate = CANDIDATE.changed(system="{{instructions}}", demonstrations=())
    for name, text in promptfoo_files(TASK, candidate, written).items():
        (tmp_path / name).write_text(text)

    suite = read_suite(tmp_path / "promptfooconfig.yaml", "again")

    (again,) = suite.candidates
    assert again.model == candidate.model
    assert again.decoding.max_tokens == candidate.decoding.max_tokens
    for ours, theirs in zip(written, suite.examples, strict=True):
        assert theirs.reference[0]["value"] == ours.reference[0]["value"]
        sent = Prompt(suite.task, again).request(theirs).messages
        assert sent == Prompt(TASK, candidate).request(ours).messages


@pytest.mark.parametrize(
    ("metric", "reference", "assertion"),
    [
        ("exact", "a {{b}}", {"type": "equals", "value": '{{ "a {{b}}" }}'}),
        ("match", "a", {"type": "icontains", "value": "a"}),
        ("fields", {"a": 1}, {"type": "equals", "value": {"a": 1}}),
        ("judge", None, {"type": "llm-rubric", "value": "polite"}),
        (
            "assertions",
            [{"type": "grader", "value": "g"}, {"type": "is-json"}],
            {"type": "is-json"},
        ),
        (
            "assertions",
            [{"type": "assert-set", "assert": [{"type": "contains", "value": "a"}]}],
            {"type": "assert-set", "assert": [{"type": "contains", "value": "a"}]},
        ),
    ],
)
def test_a_metric_is_written_as_the_assertion_that_is_nearest(metric, reference, assertion):
    """And what is not quite the same is named."""
    options = {"rubric": "polite"} if metric == "judge" else {}
    task = TASK.model_copy(update={"metric": ratchet.MetricSpec(name=metric, options=options)})
    example = ratchet.Example(inputs={"q": "a", "o": 1}, reference=reference)
    losses = Losses()

    files = promptfoo_files(task, CANDIDATE, [example], losses)

    assert json.loads(files["tests.json"])[0]["assert"] == [assertion]
    assert bool(losses.items) == (metric == "match" or "grader" in str(reference))


@pytest.mark.parametrize(
    ("model", "endpoint", "provider", "base_url"),
    [
        ("openai/x", None, "openai:chat:x", None),
        ("openai/x", Endpoint("https://api.openai.com/v1", "K"), "openai:chat:x", None),
        ("openai/x", Endpoint("http://my:1/v1"), "openai:chat:x", "http://my:1/v1"),
        ("groq/a/b", None, "groq:a/b", None),
        ("mine/x", Endpoint("http://my:1/v1"), "openai:chat:x", "http://my:1/v1"),
        ("local:nano", None, "openai:chat:local:nano", "http://127.0.0.1:8100/v1"),
    ],
)
def test_a_model_is_a_provider(model, endpoint, provider, base_url):
    """By promptfoo's name where the address is that of the maker, else by the address."""
    candidate = CANDIDATE.changed(model=model)
    files = promptfoo_files(TASK, candidate, examples(["a"]), endpoint=endpoint)
    (written,) = yaml.safe_load(files["promptfooconfig.yaml"])["providers"]
    assert written["id"] == provider
    assert written.get("config", {}).get("apiBaseUrl") == base_url


def test_what_depends_on_the_input_otherwise_is_refused():
    """Demonstrations that follow the input are no fixed prompt."""
    candidate = CANDIDATE.changed(nearest=ratchet.core.Nearest(count=1))
    with pytest.raises(CandidateError, match="chooses its demonstrations"):
        promptfoo_files(TASK, candidate, examples(["a"]))
