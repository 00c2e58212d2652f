"""What a challenger changed, word by word."""

import ratchet
from ratchet import Climbing
from ratchet.core import Candidate, Decoding, Demonstration
from ratchet.ladder import edits, html_report
from ratchet.levers import PromptLever
from ratchet.testing import ScriptedModel

OLD = Candidate(model="local:m", system="Answer the question briefly.", user="{{q}}")


def test_words_that_went_and_came():
    """Only parts that differ; joined again they are the old text and the new one."""
    new = OLD.changed(
        system="Answer each question briefly and kindly.",
        decoding=Decoding(temperature=0.5),
        demonstrations=(Demonstration(inputs={"q": "a"}, answer="b"),),
    )

    found = {edit.part: edit.pieces for edit in edits(OLD, new)}

    assert list(found) == ["system", "demonstrations", "decoding"]
    assert ("out", "the") in found["system"]
    assert ("in", "each") in found["system"]
    before = "".join(piece for kind, piece in found["system"] if kind != "in")
    after = "".join(piece for kind, piece in found["system"] if kind != "out")
    assert (before, after) == (OLD.system, new.system)
    assert found["demonstrations"] == (("in", '{"q":"a"} → "b"'),)
    assert edits(OLD, OLD) == []


def test_the_report_shows_them():
    """Struck through and underlined, and nothing of a template is taken for markup."""
    task = ratchet.Task(
        name="t",
        instructions="Do <b>it</b>.",
        inputs=(ratchet.InputField(name="q"),),
        metric=ratchet.MetricSpec(name="exact"),
        models=ratchet.Roles(student="m"),
    )
    examples = [ratchet.Example(inputs={"q": f"q {n}"}, reference="a") for n in range(60)]
    bench = ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(lambda _: "a")})
    other = bench.start().changed(system="Do <i>that</i>. {{instructions}}", note="other")

    bench.climb([PromptLever([other])])
    page = html_report(Climbing(bench).story())

    assert "<ins>" in page
    assert "&lt;i&gt;" in page.replace("<ins>", "").replace("</ins>", "")
    assert "<i>that" not in page
