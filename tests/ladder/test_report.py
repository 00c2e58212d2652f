"""Reports: what stands in each of their forms."""

import json

import pytest

import ratchet
from ratchet import Climbing
from ratchet.core import Candidate, Cluster, Decoding, Nearest, Retrieval
from ratchet.core.candidate import Demonstration
from ratchet.ladder import Story, edits, html_report, json_report, markdown_report
from ratchet.ladder.story import ChampionPrompt
from ratchet.levers import PromptLever
from ratchet.testing import ScriptedModel

FORMS = {
    "html": html_report,
    "md": markdown_report,
    "json": lambda story: json.dumps(json_report(story), ensure_ascii=False),
}


@pytest.fixture(scope="module")
def bench() -> ratchet.Workbench:
    """Return a workbench with a ladder of two rungs, the second of which was kept."""
    task = ratchet.Task(
        name="next",
        instructions="Say the next number.",
        inputs=(ratchet.InputField(name="question"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="m"),
    )
    examples = [
        ratchet.Example(inputs={"question": f"after {n}"}, reference=str(n + 1)) for n in range(100)
    ]

    def answer(request):
        number = int(request.messages[-1]["content"].split()[-1])
        return str(number + 1) if "Count on." in request.messages[0]["content"] else "no idea"

    made = ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(answer)})
    better = made.start().changed(system="{{instructions}} Count on.", note="count on")
    made.climb([PromptLever([better])])
    return made


@pytest.fixture(scope="module")
def story(bench: ratchet.Workbench) -> Story:
    return Climbing(bench).story()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_says_when_what_and_how(
    bench: ratchet.Workbench, story: Story, form: str
) -> None:
    """The date, the instructions, the champion's very messages for an example, and the commands."""
    sent = bench.request(bench.champion(), bench.split("dev")[0]).messages

    page = FORMS[form](story)

    assert story.made_at[:10] in page
    assert "Say the next number." in page
    assert sent[0]["content"] == "Say the next number. Count on."
    for message in sent:
        assert message["content"] in page
    assert "ratchet climb next --levers prompt" in page


def test_edits_name_what_is_set_alone() -> None:
    """Fields that are unset, or as they always are, stand in no difference."""
    plain = Candidate(model="e/m", user="{{q}}")
    shots = tuple(Demonstration(inputs={"q": str(n)}, answer="a") for n in range(3))
    changed = plain.changed(
        decoding=Decoding(temperature=0.5),
        retrieval=Retrieval(knowledge="docs@1", k=2),
        demonstrations=shots,
        nearest=Nearest(count=2),
    )

    found = {edit.part: edit.pieces for edit in edits(plain, changed)}

    assert found["decoding"] == (("in", "temperature: 0.5"),)
    assert found["retrieval"] == (("in", "knowledge: docs@1\nk: 2"),)
    assert found["nearest"] == (("in", "count: 2"),)
    assert "None" not in str(found)


def test_what_is_taken_back_stands_in_an_edit() -> None:
    """A field that was set and is not any more went out, and one that is the same stays."""
    before = Candidate(model="e/m", user="{{q}}", decoding=Decoding(temperature=0.5, top_p=0.9))

    (edit,) = edits(before, before.changed(decoding=Decoding(top_p=0.9)))

    assert (
        "".join(piece for kind, piece in edit.pieces if kind == "out").strip() == "temperature: 0.5"
    )
    assert "".join(piece for kind, piece in edit.pieces if kind != "out") == "top_p: 0.9"


def test_clusters_are_sentences() -> None:
    """The number of failures and what they share; nothing that reads like a list of little words."""
    clusters = (
        Cluster(name="invoice, refund", count=14, examples=("e",)),
        Cluster(name="", count=1, examples=("e",)),
    )

    assert [one.sentence for one in clusters] == [
        "14 failures with invoice, refund",
        "1 failure with similar inputs",
    ]


def test_commands_that_were_written_down_are_shown_as_typed(story: Story) -> None:
    """In their order, quoted as a shell needs them; then the report itself."""
    commands = ("ratchet import 'my file.csv' --task next", "ratchet try prompt next --propose 3")
    told = Story(task=story.task, steps=story.steps, commands=commands)

    assert told.recipe == [*commands, "ratchet ladder next --report report.html"]


def test_a_prompt_with_backticks_is_fenced(story: Story) -> None:
    """A message that holds a block of code of its own does not end the report's."""
    messages = ({"role": "user", "content": "```\nx\n```"},)
    prompt = ChampionPrompt(example=ratchet.Example(inputs={}, reference=""), messages=messages)

    page = markdown_report(Story(task=story.task, steps=story.steps, prompt=prompt))

    assert "````\n```\nx\n```\n````" in page


def test_a_call_of_a_tool_is_written_out(story: Story) -> None:
    """A demonstration of a call has no content, and is shown all the same."""
    call = {"function": {"name": "find", "arguments": '{"q": 1}'}}
    messages = ({"role": "assistant", "content": None, "tool_calls": [call]},)
    prompt = ChampionPrompt(example=ratchet.Example(inputs={}, reference=""), messages=messages)

    assert prompt.lines == [("assistant", 'find({"q": 1})')]
